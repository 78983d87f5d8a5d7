"""Where prices come from: the settings, then the packaged table, then LiteLLM's maintained one where installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata, resources, util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from domain.pricing import ModelPrice
from resources.llm.endpoint_names import at_vendors_own
from resources.llm.litellm_prices import price_from_entry

if TYPE_CHECKING:
    from resources.llm.settings import CoreSettings

PriceOrigin = Literal["settings", "packaged table", "LiteLLM's table"]

_LITELLM_TABLE = "model_prices_and_context_window_backup.json"


def price_book(settings: CoreSettings) -> PriceBook:
    """The prices that hold under these settings."""
    return PriceBook(settings.prices, at_vendors_own(settings.endpoints))


class PriceBook:
    """Prices by model; the settings win over the packaged table, which wins over LiteLLM's.

    Args:
        overrides: the settings' own prices.
        kinds: endpoints with names of their own at which the prices of a kind of provider hold.
    """

    def __init__(
        self, overrides: Mapping[str, ModelPrice] | None = None, kinds: Mapping[str, str] | None = None
    ) -> None:
        self._overrides = dict(overrides or {})
        self._kinds = dict(kinds or {})
        self._known: dict[str, tuple[ModelPrice | None, dict[str, Any] | None]] = {}

    def price_of(self, model: str) -> ModelPrice | None:
        """The price of `model` (`provider/name`), or None where nobody knows it."""
        return self.quoted(model)[0]

    def origin_of(self, model: str) -> PriceOrigin | None:
        """Which of the three sources `price_of` takes; None where nobody knows the model."""
        if model in self._overrides:
            return "settings"
        if self._in_tables(model) in packaged_prices():
            return "packaged table"
        return None if self.price_of(model) is None else "LiteLLM's table"

    def known_models(self) -> list[str]:
        """The models of the settings and the packaged table, by name."""
        return sorted({*self._overrides, *packaged_prices()})

    def quoted(self, model: str) -> tuple[ModelPrice | None, dict[str, Any] | None]:
        """The price, and the same as JSON values for the ledger; both None where nobody knows it."""
        known = self._known.get(model)
        if known is None:
            named = self._in_tables(model)
            price = self._overrides.get(model) or packaged_prices().get(named) or _litellm_price(named)
            known = (price, price.model_dump(mode="json", exclude_none=True) if price else None)
            self._known[model] = known
        return known

    def _in_tables(self, model: str) -> str:
        """The name under which tables have it."""
        endpoint, slash, name = model.partition("/")
        return f"{self._kinds.get(endpoint, endpoint)}{slash}{name}"


@lru_cache(maxsize=1)
def packaged_prices() -> dict[str, ModelPrice]:
    """The table that ships with the program."""
    text = resources.files("resources.llm").joinpath("prices.json").read_text("utf-8")
    return {model: ModelPrice.model_validate(entry) for model, entry in json.loads(text).items()}


def _litellm_price(model: str) -> ModelPrice | None:
    table, version = _litellm_table()
    return price_from_entry(model, table, version) if table else None


@lru_cache(maxsize=1)
def _litellm_table() -> tuple[dict[str, Any], str]:
    # Reading the file spares the import of LiteLLM, which takes seconds.
    spec = util.find_spec("litellm")
    if spec is None or spec.origin is None:
        return {}, ""
    path = Path(spec.origin).with_name(_LITELLM_TABLE)
    if not path.is_file():
        return {}, ""
    return json.loads(path.read_text("utf-8")), metadata.version("litellm")
