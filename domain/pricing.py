"""What tokens cost, in integer nano-USD (1 USD = 1 000 000 000 nano-USD)."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from functools import cached_property
from math import lcm
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from domain.frozen import frozen_value

NANO_USD_PER_USD = 1_000_000_000
TOKENS_PER_MILLION = 1_000_000
MAX_TOKENS = 2**31 - 1
"""The most tokens that one attempt can count: what a column of the ledger holds, and far beyond every model."""


@frozen_value(kw_only=True)
class Usage:
    """Tokens of one attempt. `cached_input_tokens` is the part of `input_tokens` billed as cached.

    Raises:
        ValueError: a count is negative, or above `MAX_TOKENS`.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    cached_input_tokens: int = 0

    def __post_init__(self) -> None:
        if not (
            0 <= self.input_tokens <= MAX_TOKENS
            and 0 <= self.output_tokens <= MAX_TOKENS
            and 0 <= self.cached_input_tokens <= MAX_TOKENS
        ):
            raise ValueError(f"a count of tokens is 0 to {MAX_TOKENS}")


class ExactRates(NamedTuple):
    """Prices as whole numbers: so many nano-USD per token, all divided by `per`."""

    fresh_input: int
    cached_input: int
    output: int
    per: int


class _Rates(BaseModel):
    """USD per million tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_per_million: Decimal = Field(ge=0, description="USD per million input tokens.")
    output_per_million: Decimal = Field(ge=0, description="USD per million output tokens.")
    cached_input_per_million: Decimal | None = Field(
        default=None, ge=0, description="USD per million cached input tokens; None: as other input."
    )

    @cached_property
    def exact(self) -> ExactRates:
        """The same without rounding, for arithmetic that every attempt needs several times."""
        cached = self.input_per_million if self.cached_input_per_million is None else self.cached_input_per_million
        rates = (self.input_per_million, cached, self.output_per_million)
        ratios = [(rate * NANO_USD_PER_USD / TOKENS_PER_MILLION).as_integer_ratio() for rate in rates]
        per = lcm(*(below for _, below in ratios))
        fresh_input, cached_input, output = (above * (per // below) for above, below in ratios)
        return ExactRates(fresh_input, cached_input, output, per)


class LongContextTier(_Rates):
    """Prices (USD per million tokens) that apply to the whole request above a number of input tokens."""

    above_input_tokens: int = Field(gt=0, description="The tier applies to requests with more input tokens than this.")


class ModelPrice(_Rates):
    """USD per million tokens of one model, with where and when the figure was read."""

    long_context: LongContextTier | None = Field(
        default=None, description="Prices of long requests, where they differ."
    )
    batch_factor: Decimal | None = Field(
        default=None,
        gt=0,
        le=1,
        description="What the provider's batch API costs, as a share of these prices; None: half.",
    )
    source: str = Field(default="settings", description="Where the figures were read.")
    as_of: str | None = Field(default=None, description="When they were read, e.g. `2026-11-22`.")


BATCH_FACTOR = Decimal("0.5")
"""OpenAI and Vertex AI both bill their batch APIs at half of the price of single requests."""


def batch_price(price: ModelPrice) -> ModelPrice:
    """What the same model costs through the provider's batch API; its `source` says so."""
    factor = BATCH_FACTOR if price.batch_factor is None else price.batch_factor
    tier = price.long_context
    # Built anew, not copied: a copy would take the exact rates along that the other price has worked out already.
    return ModelPrice(
        **_scaled(price, factor),
        long_context=tier and LongContextTier(above_input_tokens=tier.above_input_tokens, **_scaled(tier, factor)),
        source=f"{price.source}; batch API at {factor} of it",
        as_of=price.as_of,
    )


def _scaled(rates: _Rates, factor: Decimal) -> dict[str, Any]:
    cached = rates.cached_input_per_million
    return {
        "input_per_million": rates.input_per_million * factor,
        "output_per_million": rates.output_per_million * factor,
        "cached_input_per_million": None if cached is None else cached * factor,
    }


def usd_to_nano(usd: Decimal | str | int) -> int:
    """Whole nano-USD in `usd`, rounded up.

    Raises:
        decimal.InvalidOperation: `usd` is not a number.
    """
    return int((Decimal(usd) * NANO_USD_PER_USD).to_integral_value(ROUND_CEILING))


def nano_to_usd(nano_usd: int) -> Decimal:
    """`nano_usd` as exact USD."""
    return Decimal(nano_usd) / NANO_USD_PER_USD


def cost_nano_usd(price: ModelPrice, usage: Usage) -> int:
    """What `usage` costs at `price`, rounded up once to whole nano-USD.

    Cached input tokens are billed at `cached_input_per_million` (at the input price where there
    is none); the long-context tier replaces every price once the input is above its threshold.
    """
    return _cost(price, usage.input_tokens, min(usage.cached_input_tokens, usage.input_tokens), usage.output_tokens)


def reserve_nano_usd(price: ModelPrice, input_token_bound: int, max_output_tokens: int) -> int:
    """The most one attempt can cost: every output token used, every input token billed at its dearer rate.

    Both sides of the long-context threshold are priced and the dearer one taken, since the bound
    may lie above the threshold where the true count does not. All-cached is priced beside all-fresh,
    since a price list may charge more for cached tokens than for fresh ones.
    """
    most = _dearest(price, input_token_bound, max_output_tokens)
    tier = price.long_context
    if tier and input_token_bound > tier.above_input_tokens:
        most = max(most, _dearest(price, tier.above_input_tokens, max_output_tokens))
    return most


def _dearest(price: ModelPrice, input_tokens: int, output_tokens: int) -> int:
    return max(_cost(price, input_tokens, 0, output_tokens), _cost(price, input_tokens, input_tokens, output_tokens))


def _cost(price: ModelPrice, input_tokens: int, cached_input: int, output_tokens: int) -> int:
    tier = price.long_context
    rates = (tier if tier and input_tokens > tier.above_input_tokens else price).exact
    fresh_input = input_tokens - cached_input
    total = fresh_input * rates.fresh_input + cached_input * rates.cached_input + output_tokens * rates.output
    return -(-total // rates.per)
