"""Rows are admitted ahead of their turn at the provider, unless a rate limit is so close that it would be passed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from batches.conftest import Floor, write_csv

from resources.batch_inference.answering import Slots
from resources.batch_inference.direct import DirectAnswerer
from resources.batch_inference.lanes import may_be_late
from resources.batch_inference.worker import open_worker
from resources.llm import open_client
from resources.llm.call import OPEN_LANE, Lane
from resources.llm.client import LLMClient
from resources.llm.settings import LimitSettings
from resources.llm.types import CallContext, Completion, Request

MODEL = "openai/scripted"
SLOTS = 8


def seen(monkeypatch: pytest.MonkeyPatch) -> list[Lane]:
    """The lanes that calls are made with from now on."""
    lanes: list[Lane] = []
    complete = LLMClient.complete

    async def watched(self: LLMClient, request: Request, context: CallContext, *, lane: Lane = OPEN_LANE) -> Completion:
        lanes.append(lane)
        return await complete(self, request, context, lane=lane)

    monkeypatch.setattr(LLMClient, "complete", watched)
    return lanes


async def run(floor: Floor, batch_id: str, slots: Slots, **settings: Any) -> str:
    async with open_client(floor.settings(**settings)) as client:
        answerer = DirectAnswerer(client, slots)
        async with open_worker(floor.database, floor.root, client, concurrency=SLOTS, answerer=answerer) as worker:
            return (await worker.run(batch_id)).state


@pytest.mark.parametrize(
    ("settings", "admitted_first"),
    [
        ({}, True),
        ({"limits": {MODEL: {"requests_per_minute": 499}}}, False),
        ({"limits": {MODEL: {"requests_per_minute": 500}}}, True),
        ({"limits": {"openai/other": {"requests_per_minute": 2}}}, True),
        (
            {"limits": {"openai/other": {"requests_per_minute": 2}}, "fallback": {"models": {MODEL: ["openai/other"]}}},
            False,
        ),
    ],
)
def test_rows_are_admitted_first_where_no_limit_is_close(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], admitted_first: bool
) -> None:
    batch = floor.add(write_csv(tmp_path / "in.csv", range(30))).record
    slots, lanes = Slots(SLOTS), seen(monkeypatch)
    assert asyncio.run(run(floor, batch.id, slots, **settings)) == "done"
    assert len(lanes) == 30
    assert set(map(id, lanes)) == {id(slots.calls if admitted_first else OPEN_LANE)}
    assert sorted(floor.asked()) == list(range(30))


@pytest.mark.parametrize(
    ("limits", "free"),
    [
        (LimitSettings(), True),
        (LimitSettings(requests_per_minute=3300), True),
        (LimitSettings(requests_per_minute=3299), False),
        (LimitSettings(requests_per_minute=3300, tokens_per_minute=33_000_000), True),
        (LimitSettings(requests_per_minute=3300, tokens_per_minute=32_999_999), False),
    ],
)
def test_a_hundredth_of_a_minute_may_be_late(limits: LimitSettings, free: bool) -> None:
    assert may_be_late(limits, 33) is free
