from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from domain.pricing import ModelPrice
from resources.llm.litellm_prices import price_from_entry
from resources.llm.prices import PriceBook, packaged_prices, price_book
from resources.llm.settings import CoreSettings, EndpointSettings

CHAT = {"mode": "chat", "litellm_provider": "openai", "input_cost_per_token": 2e-6, "output_cost_per_token": 8e-6}


def test_every_packaged_price_says_whence_and_when() -> None:
    for model, price in packaged_prices().items():
        assert "/" in model
        assert price.source
        assert date.fromisoformat(price.as_of or "") <= date(2100, 1, 1)
        assert price.input_per_million > 0
        if model.startswith("embeddings/"):
            assert price.output_per_million == 0
        else:
            assert price.output_per_million >= price.input_per_million
        assert (price.cached_input_per_million or 0) <= price.input_per_million


def test_the_settings_win() -> None:
    mine = ModelPrice(input_per_million=Decimal(9), output_per_million=Decimal(9))
    assert PriceBook({"openai/gpt-4o-mini": mine}).price_of("openai/gpt-4o-mini") == mine
    assert PriceBook().price_of("openai/gpt-4o-mini") == packaged_prices()["openai/gpt-4o-mini"]


def test_an_unknown_model_has_no_price() -> None:
    assert PriceBook().quoted("vllm/my-own") == (None, None)


def test_long_context_tier_is_read_from_the_maintained_table() -> None:
    table = {
        "m": CHAT | {"input_cost_per_token_above_200k_tokens": 4e-6, "output_cost_per_token_above_200k_tokens": 9e-6}
    }
    price = price_from_entry("openai/m", table, "1")
    assert price is not None
    assert price.input_per_million == 2
    assert price.long_context is not None
    assert price.long_context.above_input_tokens == 200_000
    assert price.long_context.output_per_million == 9


@pytest.mark.parametrize(
    "entry",
    [
        CHAT | {"mode": "embedding"},
        CHAT | {"litellm_provider": "azure"},
        CHAT | {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
        CHAT | {"output_cost_per_reasoning_token": 9e-6},
        CHAT | {"input_cost_per_request": 0.01},
        {key: value for key, value in CHAT.items() if key != "output_cost_per_token"},
        CHAT | {f"input_cost_per_token_above_{k}k_tokens": 1e-6 for k in (128, 256)},
    ],
)
def test_entries_our_prices_cannot_say_are_left_alone(entry: dict[str, object]) -> None:
    assert price_from_entry("openai/m", {"m": entry}, "1") is None


def test_an_endpoint_of_its_own_name_at_the_vendor_has_the_vendors_prices() -> None:
    endpoints = {
        "team_b": EndpointSettings(provider="openai"),
        "vllm": EndpointSettings(provider="openai", base_url="http://127.0.0.1:8000/v1"),
        "reader": EndpointSettings(provider="offline"),
    }
    mine = ModelPrice(input_per_million=Decimal(9), output_per_million=Decimal(9))
    book = price_book(CoreSettings(endpoints=endpoints, prices={"team_b/gpt-4o": mine}))
    assert book.price_of("team_b/gpt-4o-mini") == packaged_prices()["openai/gpt-4o-mini"]
    assert book.origin_of("team_b/gpt-4o-mini") == "packaged table"
    assert (book.price_of("team_b/gpt-4o"), book.origin_of("team_b/gpt-4o")) == (mine, "settings")
    assert book.price_of("vllm/gpt-4o-mini") is None  # whoever serves it there bills as they like
    assert book.price_of("reader/nearest") == packaged_prices()["offline/nearest"]
