"""Whoever is cancelled or interrupted takes up nothing new and ends what is under way, which is being paid for."""

from __future__ import annotations

import asyncio
import os
import signal
from types import FrameType

import pytest

from resources.evaluation.durable_writing import work_through
from resources.llm.loop_thread import run_interruptibly


class Interrupted(BaseException):
    """As Dagster raises it: no `Exception`."""


async def test_a_cancelled_crew_ends_what_is_under_way() -> None:
    begun: list[int] = []
    ended: list[int] = []
    busy, gate = asyncio.Event(), asyncio.Event()

    async def work(item: int) -> None:
        begun.append(item)
        if len(begun) == 3:
            busy.set()
        await gate.wait()
        ended.append(item)

    crew = asyncio.create_task(work_through(range(10), work, 3))
    await busy.wait()
    crew.cancel()
    await asyncio.sleep(0)
    assert not crew.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await crew
    assert begun == ended == [0, 1, 2]


async def test_a_failure_cancels_what_is_under_way() -> None:
    ended: list[int] = []

    async def work(item: int) -> None:
        if item == 1:
            raise ValueError(item)
        await asyncio.Event().wait()
        ended.append(item)

    with pytest.raises(ValueError, match="1"):
        await work_through(range(10), work, 3)
    assert ended == []


def raise_interrupted(_number: int, _frame: FrameType | None) -> None:
    raise Interrupted


def test_a_signal_cancels_the_work_and_waits_for_it() -> None:
    told: list[str] = []

    async def step() -> None:
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            told.append("wound up")
            raise

    before = signal.signal(signal.SIGUSR1, raise_interrupted)
    try:
        with pytest.raises(Interrupted):
            run_interruptibly(step())
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert told == ["wound up"]


def test_what_the_work_raises_comes_out() -> None:
    async def step() -> None:
        raise ValueError("told")

    with pytest.raises(ValueError, match="told"):
        run_interruptibly(step())
