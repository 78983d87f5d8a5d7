from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.pricing import (
    LongContextTier,
    ModelPrice,
    Usage,
    batch_price,
    cost_nano_usd,
    nano_to_usd,
    reserve_nano_usd,
    usd_to_nano,
)

rates = st.decimals(min_value=0, max_value=1000, places=6, allow_nan=False, allow_infinity=False)
tiers = st.builds(
    LongContextTier,
    above_input_tokens=st.integers(1, 5_000),
    input_per_million=rates,
    output_per_million=rates,
    cached_input_per_million=st.none() | rates,
)
prices = st.builds(
    ModelPrice,
    input_per_million=rates,
    output_per_million=rates,
    cached_input_per_million=st.none() | rates,
    long_context=st.none() | tiers,
)


@st.composite
def bounded_usages(draw: st.DrawFn) -> tuple[int, int, Usage]:
    input_bound, output_bound = draw(st.integers(0, 10_000)), draw(st.integers(0, 10_000))
    tokens = draw(st.integers(0, input_bound))
    usage = Usage(
        input_tokens=tokens,
        output_tokens=draw(st.integers(0, output_bound)),
        cached_input_tokens=draw(st.integers(0, tokens)),
    )
    return input_bound, output_bound, usage


@given(prices, bounded_usages())
def test_no_usage_within_the_bounds_costs_more_than_its_reserve(
    price: ModelPrice, bounded: tuple[int, int, Usage]
) -> None:
    input_bound, output_bound, usage = bounded
    assert cost_nano_usd(price, usage) <= reserve_nano_usd(price, input_bound, output_bound)


@given(prices, bounded_usages())
def test_cost_is_the_exact_sum_rounded_up_once(price: ModelPrice, bounded: tuple[int, int, Usage]) -> None:
    usage = bounded[2]
    tier = price.long_context
    source = tier if tier and usage.input_tokens > tier.above_input_tokens else price
    cached = source.input_per_million if source.cached_input_per_million is None else source.cached_input_per_million
    fresh = usage.input_tokens - usage.cached_input_tokens
    exact = (
        fresh * Fraction(source.input_per_million)
        + usage.cached_input_tokens * Fraction(cached)
        + usage.output_tokens * Fraction(source.output_per_million)
    ) * 1000
    assert cost_nano_usd(price, usage) == ceil(exact)


@given(prices, st.integers(0, 10_000), st.integers(0, 10_000), st.integers(0, 100))
def test_a_larger_bound_never_reserves_less(price: ModelPrice, tokens: int, output: int, more: int) -> None:
    reserve = reserve_nano_usd(price, tokens, output)
    assert reserve_nano_usd(price, tokens + more, output) >= reserve
    assert reserve_nano_usd(price, tokens, output + more) >= reserve


@given(st.integers(-(10**18), 10**18))
def test_nano_usd_survive_the_way_to_usd_and_back(nano: int) -> None:
    assert usd_to_nano(nano_to_usd(nano)) == nano


def test_reserve_covers_cached_tokens_that_cost_more_than_fresh_ones() -> None:
    price = ModelPrice(
        input_per_million=Decimal(1), output_per_million=Decimal(0), cached_input_per_million=Decimal("1.25")
    )
    assert reserve_nano_usd(price, 1_000, 0) == 1_250_000


def test_reserve_covers_the_cheaper_side_of_the_long_context_threshold() -> None:
    tier = LongContextTier(above_input_tokens=100, input_per_million=Decimal("0.1"), output_per_million=Decimal("0.1"))
    price = ModelPrice(input_per_million=Decimal(10), output_per_million=Decimal(10), long_context=tier)
    assert reserve_nano_usd(price, 101, 50) == cost_nano_usd(price, Usage(input_tokens=100, output_tokens=50))


def test_known_cost() -> None:
    price = ModelPrice(input_per_million=Decimal("0.15"), output_per_million=Decimal("0.60"))
    assert cost_nano_usd(price, Usage(input_tokens=1_000, output_tokens=100)) == 210_000


def test_tier_starts_above_its_threshold_and_holds_for_the_whole_request() -> None:
    tier = LongContextTier(above_input_tokens=200, input_per_million=Decimal(2), output_per_million=Decimal(4))
    price = ModelPrice(input_per_million=Decimal(1), output_per_million=Decimal(2), long_context=tier)
    assert cost_nano_usd(price, Usage(input_tokens=200, output_tokens=1)) == 202_000
    assert cost_nano_usd(price, Usage(input_tokens=201, output_tokens=1)) == 406_000


def test_more_cached_than_input_tokens_are_billed_as_all_cached() -> None:
    price = ModelPrice(
        input_per_million=Decimal(1), output_per_million=Decimal(1), cached_input_per_million=Decimal("0.5")
    )
    assert cost_nano_usd(price, Usage(input_tokens=10, cached_input_tokens=99)) == 5_000


def test_a_fraction_of_a_nano_usd_is_a_whole_one() -> None:
    assert usd_to_nano("0.0000000001") == 1
    assert usd_to_nano(Decimal("1.5")) == 1_500_000_000
    assert nano_to_usd(1) == Decimal("1E-9")


@pytest.mark.parametrize("count", [-1, 2**31])
@pytest.mark.parametrize("field", ["input_tokens", "output_tokens", "cached_input_tokens"])
def test_usage_that_no_attempt_can_have_is_refused(field: str, count: int) -> None:
    with pytest.raises(ValueError, match="0 to 2147483647"):
        Usage(**{field: count})


@pytest.mark.parametrize("rate", ["-1", "NaN", "Infinity"])
def test_impossible_prices_are_refused(rate: str) -> None:
    with pytest.raises(ValidationError):
        ModelPrice.model_validate({"input_per_million": rate, "output_per_million": 1})


def test_a_batch_price_is_half_of_everything_and_says_so() -> None:
    price = ModelPrice(
        input_per_million=Decimal("0.15"),
        output_per_million=Decimal("0.60"),
        cached_input_per_million=Decimal("0.075"),
        long_context=LongContextTier(
            above_input_tokens=10, input_per_million=Decimal("0.3"), output_per_million=Decimal(1)
        ),
        source="a page",
    )
    assert cost_nano_usd(price, Usage(input_tokens=10, output_tokens=10)) == 7500
    halved = batch_price(price)
    assert cost_nano_usd(halved, Usage(input_tokens=10, output_tokens=10)) == 3750
    assert cost_nano_usd(halved, Usage(input_tokens=10, cached_input_tokens=10)) == 375
    assert cost_nano_usd(halved, Usage(input_tokens=20, output_tokens=2)) == 4000
    assert halved.source == "a page; batch API at 0.5 of it"
    assert batch_price(price.model_copy(update={"batch_factor": Decimal("0.8")})).input_per_million == Decimal("0.12")
