"""What an attempt may cost at worst, and the models no cap could hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.errors import ConfigurationError
from domain.pricing import ModelPrice, reserve_nano_usd
from resources.llm.caps import Caps
from resources.llm.prices import PriceBook
from resources.llm.types import Request


@dataclass(slots=True)
class Quote:
    """Price and worst case of one attempt."""

    price: ModelPrice | None
    price_record: dict[str, Any] | None
    reserve_nano_usd: int
    input_tokens: int
    output_tokens: int

    @property
    def tokens(self) -> int:
        """Worst-case input plus output."""
        return self.input_tokens + self.output_tokens


class Quotes:
    """Prices attempts, and turns away those no reserve could cover."""

    def __init__(self, prices: PriceBook, caps: Caps, *, require_budget: bool) -> None:
        self._prices = prices
        self._caps = caps
        self._require_budget = require_budget

    async def quote(self, request: Request, input_token_bound: int, scopes: tuple[str, ...]) -> Quote:
        """The worst case of one attempt at `request`, charged to `scopes` (names).

        Raises:
            ConfigurationError: the model has no price yet a scope has a cap, or a budget is required and there is none.
            StateUnavailableError: the caps cannot be looked up.
        """
        model = request.model
        tokens_in, tokens_out = input_token_bound, request.max_output_tokens
        if self._require_budget and not await self._caps.cover(scopes):
            raise ConfigurationError(
                "A budget is required and none of the call's scopes has a cap.",
                field="budgets",
                mend=f"Give one of {', '.join(scopes) or 'its scopes (it names none)'} a cap in `budgets`.",
            )
        price, record = self._prices.quoted(model)
        if price is None:
            if await self._caps.cover(scopes):
                raise ConfigurationError(
                    f"The model {model} has no known price, so no cap could hold.",
                    field=f"prices.{model}",
                    mend=f"Add to `prices`: {model}: {{input_per_million: …, output_per_million: …}}.",
                )
            return Quote(None, None, 0, tokens_in, tokens_out)
        return Quote(price, record, reserve_nano_usd(price, tokens_in, tokens_out), tokens_in, tokens_out)
