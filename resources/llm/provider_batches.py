"""Providers' batch APIs within the core's budgets: prices, holds that outlive processes, and giving them back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domain.pricing import ModelPrice, batch_price, reserve_nano_usd
from resources.llm.batch_api import BatchApi
from resources.llm.events import Event, Overrun, ScopeFrozen
from resources.llm.ledger_database import hold_of
from resources.llm.prices import price_book
from resources.llm.quotes import Quotes
from resources.llm.scopes import expand_scopes
from resources.llm.state.protocol import Charge, Settlement, Verdict
from resources.llm.types import Request

if TYPE_CHECKING:
    from resources.database.repositories.provider_jobs import ProviderJob
    from resources.llm.assembly import Core


YIELD_EVERY = 500


@dataclass(frozen=True, slots=True)
class BatchQuote:
    """Price and worst case of one request of a job, and the worst case of the same request asked directly."""

    price: ModelPrice | None
    reserve_nano_usd: int
    direct_nano_usd: int
    input_tokens: int
    output_tokens: int


class ProviderBatches:
    """Made by the client; used on its event loop."""

    def __init__(self, core: Core) -> None:
        self._core = core
        settings = core.settings
        self._quotes = Quotes(price_book(settings), core.caps, require_budget=settings.require_budget)
        self._prices: dict[str, tuple[ModelPrice, ModelPrice]] = {}

    def api(self, model: str) -> BatchApi:
        """The batch API that answers `model`.

        Raises:
            ConfigurationError: its endpoint has none.
            InputError: the name is not `provider/name`.
        """
        return self._core.endpoints.batch_api(model)

    def windows(self, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """The budget windows that `scopes` (names) mean now."""
        return expand_scopes(scopes, self._core.timing.clock(), self._core.settings.zone)

    async def quote(self, request: Request, scopes: tuple[str, ...]) -> BatchQuote:
        """What one request may cost at worst through the batch API.

        Raises:
            ConfigurationError: as for a single call: no price under a cap, no budget where one is required.
            StateUnavailableError: the caps cannot be looked up.
        """
        bound = self._core.endpoints.of(request.model).provider.input_token_bound(request)
        direct = await self._quotes.quote(request, bound, scopes)
        tokens_in, tokens_out = direct.input_tokens, direct.output_tokens
        if direct.price is None:
            return BatchQuote(None, 0, 0, tokens_in, tokens_out)
        price = self._batch_price(request.model, direct.price)
        reserve = reserve_nano_usd(price, tokens_in, tokens_out)
        return BatchQuote(price, reserve, direct.reserve_nano_usd, tokens_in, tokens_out)

    async def hold(self, job: ProviderJob) -> Verdict:
        """Reserve the job's worst case in all its scopes; asking again for what is held is harmless.

        Raises:
            StateUnavailableError: the store cannot be asked.
        """
        self._core.restoration.require_complete()
        return await self._core.store.admit(hold_of(job), self._core.timing.clock())

    async def release(self, job: ProviderJob, charge: Charge, cost_nano_usd: int, lost_nano_usd: int = 0) -> None:
        """Turn what the job holds into what it was charged, once; the ledger has the lines already.

        Args:
            cost_nano_usd: billed for certain.
            lost_nano_usd: kept for requests whose bill is unknown.

        Raises:
            StateUnavailableError: the store cannot be reached; the hold stays.
        """
        now = self._core.timing.clock()
        intent = hold_of(job)
        settlement = Settlement(
            intent.attempt_id, charge, cost_nano_usd, None, "neutral", "", also_ambiguous_nano_usd=lost_nano_usd
        )
        result = await self._core.store.settle(settlement, now)
        for scope in result.frozen_scopes:
            self._core.dispatcher.emit(ScopeFrozen(scope, intent.attempt_id))
        if charge == "overrun":
            held = job.reserve_nano_usd
            self._core.dispatcher.emit(Overrun(intent.attempt_id, job.model, tuple(job.scopes), held, cost_nano_usd))

    async def tell(self, events: Sequence[Event]) -> None:
        """Tell subscribers what a settled job came to, without holding up the event loop."""
        for count, event in enumerate(events, start=1):
            if count % YIELD_EVERY == 0:
                await asyncio.sleep(0)
            self._core.dispatcher.emit(event)

    def _batch_price(self, model: str, price: ModelPrice) -> ModelPrice:
        known = self._prices.get(model)
        if known is None or known[0] is not price:
            known = self._prices[model] = (price, batch_price(price))
        return known[1]


def price_record(price: ModelPrice | None) -> dict[str, Any] | None:
    """The price as the ledger stores it."""
    return None if price is None else price.model_dump(mode="json", exclude_none=True)
