"""Reading one entry of LiteLLM's price table, and refusing those that say more than our prices can."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from domain.pricing import TOKENS_PER_MILLION, LongContextTier, ModelPrice

_CHAT_MODES = ("chat", "completion", "responses")
_EMBEDDINGS = "embeddings"
_TIER = re.compile(r"(?:input|output)_cost_per_token_above_(\d+)k_tokens")
_VENDORS = {"openai": ("openai",), _EMBEDDINGS: ("openai",), "vertex": ("vertex_ai",)}


def price_from_entry(model: str, table: dict[str, Any], version: str) -> ModelPrice | None:
    """The price of `model` by LiteLLM's table; None where it is absent, priced by another unit or in several tiers."""
    entry = _find(model, table)
    if entry is None or entry.get("mode") not in _modes(model):
        return None
    thresholds = {int(match[1]) for key in entry if (match := _TIER.fullmatch(key))}
    rates = _rates(entry, "")
    if rates is None or len(thresholds) > 1 or not _billed_by_token_only(entry):
        return None
    price = ModelPrice.model_validate({**rates, "source": f"LiteLLM {version} price table"})
    for thousands in thresholds:
        tier = _rates(entry, f"_above_{thousands}k_tokens")
        if tier is None:
            return None
        long_context = LongContextTier.model_validate({**tier, "above_input_tokens": thousands * 1000})
        price = price.model_copy(update={"long_context": long_context})
    return price


def _modes(model: str) -> tuple[str, ...]:
    return ("embedding",) if model.partition("/")[0] == _EMBEDDINGS else _CHAT_MODES


def _find(model: str, table: dict[str, Any]) -> dict[str, Any] | None:
    provider, _, name = model.partition("/")
    if provider == "litellm":
        return table.get(name) or _of_vendor(table, name.partition("/")[2], (name.partition("/")[0],))
    return _of_vendor(table, name, _VENDORS.get(provider, ()))


def _of_vendor(table: dict[str, Any], name: str, vendors: tuple[str, ...]) -> dict[str, Any] | None:
    """The entry `name`, if it is sold by one of `vendors`: the same name costs differently elsewhere."""
    entry = table.get(name)
    sold_by = str(entry.get("litellm_provider", "")) if entry else ""
    return entry if vendors and sold_by.startswith(vendors) else None


def _billed_by_token_only(entry: dict[str, Any]) -> bool:
    """Whether input and output tokens are all there is to pay; a table's 0 means "not known", not "free"."""
    answered = entry["output_cost_per_token"]
    thought = entry.get("output_cost_per_reasoning_token", answered)
    per_request = [entry[key] for key in entry if key.endswith("_cost_per_request")]
    return thought == answered and not any(per_request) and bool(entry["input_cost_per_token"] or answered)


def _rates(entry: dict[str, Any], suffix: str) -> dict[str, Decimal | None] | None:
    given = entry.get(f"input_cost_per_token{suffix}")
    answered = entry.get(f"output_cost_per_token{suffix}")
    if given is None or answered is None:
        return None
    cached = entry.get(f"cache_read_input_token_cost{suffix}")
    return {
        "input_per_million": _per_million(given),
        "output_per_million": _per_million(answered),
        "cached_input_per_million": None if cached is None else _per_million(cached),
    }


def _per_million(per_token: float) -> Decimal:
    return (Decimal(str(per_token)) * TOKENS_PER_MILLION).normalize()
