"""Prices, and what an attempt would reserve."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from rich.console import Console

from domain.errors import NotFoundError
from domain.pricing import ModelPrice, Usage, cost_nano_usd, reserve_nano_usd
from orchestration.cli.figures import dollars, usd
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.llm.prices import PriceBook, PriceOrigin, price_book

COLUMNS = ["model", "input / M", "cached / M", "output / M", "example reserves", "from", "source", "as of"]


def shown(models: Sequence[str], input_tokens: int, output_tokens: int, as_json: bool) -> None:
    """One line per model; longer requests that cost more have a line of their own."""
    environment = Environment.read()
    book = price_book(environment.core_settings())
    priced = [(model, *_found(book, model, str(environment.config))) for model in dict.fromkeys(models)]
    example = {"input_tokens": input_tokens, "output_tokens": output_tokens}
    values = [_values(model, price, origin, input_tokens, output_tokens) for model, price, origin in priced]

    def show(console: Console) -> None:
        rows = [row for model, price, origin in priced for row in _rows(model, price, origin, example)]
        title = f"USD per million tokens (example: {input_tokens:,} tokens in, up to {output_tokens:,} out)"
        console.print(table(title, COLUMNS, rows, right=COLUMNS[1:5], whole=["model"]))

    emit(as_json, {"example": example, "prices": values}, show)


def _found(book: PriceBook, model: str, config: str) -> tuple[ModelPrice, PriceOrigin]:
    price, origin = book.price_of(model), book.origin_of(model)
    if price is None or origin is None:
        near = get_close_matches(model, book.known_models(), n=3)
        known = f"did you mean {' or '.join(near)}? Otherwise " if near else ""
        raise NotFoundError(
            f"the model {model} has no known price, so no call to it is admitted under a cap",
            field="model",
            mend=f"{known}add to {config}: prices: {{{model}: {{input_per_million: …, output_per_million: …}}}}.",
        )
    return price, origin


def _values(model: str, price: ModelPrice, origin: PriceOrigin, tokens_in: int, tokens_out: int) -> dict[str, Any]:
    reserve = reserve_nano_usd(price, tokens_in, tokens_out)
    cost = cost_nano_usd(price, Usage(input_tokens=tokens_in, output_tokens=tokens_out))
    return {
        "model": model,
        "from": origin,
        **price.model_dump(),
        "example_reserve_nano_usd": reserve,
        "example_reserve_usd": usd(reserve),
        "example_cost_usd": usd(cost),
    }


def _rows(model: str, price: ModelPrice, origin: PriceOrigin, example: dict[str, int]) -> list[list[object]]:
    reserve = dollars(reserve_nano_usd(price, example["input_tokens"], example["output_tokens"]))
    rates = _rates(price.input_per_million, price.cached_input_per_million, price.output_per_million)
    rows: list[list[object]] = [[model, *rates, reserve, origin, price.source, price.as_of or "–"]]
    if price.long_context is not None:
        tier = price.long_context
        rates = _rates(tier.input_per_million, tier.cached_input_per_million, tier.output_per_million)
        rows.append([f"  above {tier.above_input_tokens:,} tokens in", *rates, "", "", "", ""])
    return rows


def _rates(*per_million: Any) -> list[str]:
    return ["as input" if rate is None else f"${rate:f}" for rate in per_million]
