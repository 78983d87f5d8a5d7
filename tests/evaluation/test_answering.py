"""An answer is durable before the next row is asked in its place."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from domain.dataset import Row, SplitFractions, make_row
from domain.pricing import Usage
from domain.prompt import PromptStep, PromptVersion
from resources.evaluation.answering import answer_rows
from resources.llm.types import CallContext, Completion, Request

PROMPT = PromptVersion(steps=(PromptStep(output_prompt="{{ text }}"),), model="scripted/m")
ROWS: list[Row] = [make_row({"text": f"row {n}"}, "x", None, SplitFractions()) for n in range(60)]
CONCURRENCY = 4


class Store:
    """Keeps answers in memory; fails on demand."""

    def __init__(self, fails: bool = False) -> None:
        self.kept: dict[str, Any] = {}
        self.fails = fails

    def get_many(self, prompt_version_id: str, input_ids: Any, sample: int) -> dict[str, Any]:
        return {one: self.kept[one] for one in input_ids if one in self.kept}

    def put_many(self, prompt_version_id: str, sample: int, answers: Any) -> None:
        if self.fails:
            raise OSError("disk full")
        self.kept |= {answer.input_id: answer for answer in answers}


class Model:
    """Counts what was asked, and how far it ever ran ahead of what was kept."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.asked = 0
        self.ahead = 0

    async def complete(self, request: Request, context: CallContext) -> Completion:
        self.asked += 1
        self.ahead = max(self.ahead, self.asked - len(self.store.kept))
        await asyncio.sleep(0)
        return Completion("x", "ok", f"c{self.asked}", request.model, Usage(), 7, 0.0, 1)


async def test_calls_never_run_further_ahead_than_those_in_flight() -> None:
    store = Store()
    model = Model(store)
    done = await answer_rows(model, PROMPT, ROWS, store, CallContext(), concurrency=CONCURRENCY)
    assert model.asked == len(store.kept) == len(done.answers) == len(ROWS)
    assert model.ahead <= CONCURRENCY
    again = await answer_rows(model, PROMPT, ROWS, store, CallContext(), concurrency=CONCURRENCY)
    assert (model.asked, again.effort.reused) == (len(ROWS), len(ROWS))


async def test_a_store_that_cannot_write_ends_the_run() -> None:
    store = Store(fails=True)
    model = Model(store)
    with pytest.raises(OSError, match="disk full"):
        await answer_rows(model, PROMPT, ROWS, store, CallContext(), concurrency=CONCURRENCY)
    assert model.asked <= CONCURRENCY
