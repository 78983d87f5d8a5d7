"""What tokens cost, in integer nano-USD (1 USD = 1 000 000 000 nano-USD)."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal

from pydantic import BaseModel, ConfigDict, Field

NANO_USD_PER_USD = 1_000_000_000
TOKENS_PER_MILLION = 1_000_000


class Usage(BaseModel):
    """Tokens of one attempt. `cached_input_tokens` is the part of `input_tokens` billed as cached."""

    model_config = ConfigDict(frozen=True)

    input_tokens: int = Field(default=0, ge=0)
    output_tokens: int = Field(default=0, ge=0)
    cached_input_tokens: int = Field(default=0, ge=0)


class LongContextTier(BaseModel):
    """Prices (USD per million tokens) that apply to the whole request above a number of input tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    above_input_tokens: int = Field(gt=0)
    input_per_million: Decimal = Field(ge=0)
    output_per_million: Decimal = Field(ge=0)
    cached_input_per_million: Decimal | None = Field(default=None, ge=0)


class ModelPrice(BaseModel):
    """USD per million tokens of one model, with where and when the figure was read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_per_million: Decimal = Field(ge=0)
    output_per_million: Decimal = Field(ge=0)
    cached_input_per_million: Decimal | None = Field(default=None, ge=0)
    long_context: LongContextTier | None = None
    source: str = "settings"
    as_of: str | None = None


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
    candidates = [input_token_bound]
    if price.long_context and input_token_bound > price.long_context.above_input_tokens:
        candidates.append(price.long_context.above_input_tokens)
    return max(_cost(price, tokens, cached, max_output_tokens) for tokens in candidates for cached in (0, tokens))


def _cost(price: ModelPrice, input_tokens: int, cached_input: int, output_tokens: int) -> int:
    rate_in, rate_out, rate_cached = _rates(price, input_tokens)
    fresh_input = input_tokens - cached_input
    usd = (fresh_input * rate_in + cached_input * rate_cached + output_tokens * rate_out) / TOKENS_PER_MILLION
    return usd_to_nano(usd)


def _rates(price: ModelPrice, input_tokens: int) -> tuple[Decimal, Decimal, Decimal]:
    tier = price.long_context
    source = tier if tier and input_tokens > tier.above_input_tokens else price
    cached = source.cached_input_per_million
    return (
        source.input_per_million,
        source.output_per_million,
        source.input_per_million if cached is None else cached,
    )
