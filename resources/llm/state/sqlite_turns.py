"""Steps asked for in one turn of the event loop share a transaction: a commit costs more than a step."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from domain.errors import StateUnavailableError
from resources.llm.state.protocol import Happened

T = TypeVar("T")
Step = Callable[[Any], T]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A step and who waits for it; a caller that has left meanwhile takes its step with it."""

    step: Step[Any]
    answer: asyncio.Future[Any]


def run_together(asked: list[Asked], transact: Callable[[Step[Any]], Any]) -> None:
    """Run the steps in one transaction and answer them. A step that is refused does not undo the others'.

    Raises:
        sqlite3.Error: the file cannot be used now; whoever is not answered can be asked again.
    """
    waiting = [each for each in asked if not each.answer.done()]
    if not waiting:
        return
    try:
        results = transact(lambda rows: [each.step(rows) for each in waiting])
    except sqlite3.Error:
        raise
    except Exception as error:  # noqa: BLE001 - it goes to the caller whose step raised it
        if len(waiting) == 1:
            waiting[0].answer.set_exception(error)
            return
        for each in waiting:
            run_together([each], transact)
        return
    for each, result in zip(waiting, results, strict=True):
        each.answer.set_result(result)


class Turns:
    """Gathers steps until the event loop has gone round once, then has them run.

    Args:
        run: runs and answers the steps; raises `StateUnavailableError` where it cannot.
    """

    def __init__(self, run: Callable[[list[Asked]], Awaitable[None]]) -> None:
        self._run = run
        self._gathered: dict[asyncio.AbstractEventLoop, list[Asked]] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def take(self, step: Step[T]) -> T:
        """The result of `step`. A cancelled caller's step has not happened, unless the error carries `Happened`.

        Raises:
            StateUnavailableError: the file cannot be used.
        """
        loop = asyncio.get_running_loop()
        asked = Asked(step, loop.create_future())
        gathered = self._gathered.get(loop)
        if gathered is None:
            self._gathered[loop] = [asked]
            task = loop.create_task(self._finish_turn(loop))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        else:
            gathered.append(asked)
        try:
            return await asked.answer
        except asyncio.CancelledError:
            if asked.answer.done() and not asked.answer.cancelled() and asked.answer.exception() is None:
                raise asyncio.CancelledError(Happened(asked.answer.result())) from None
            raise

    async def _finish_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        asked = self._gathered.pop(loop)
        try:
            await self._run(asked)
        except StateUnavailableError as error:
            for each in asked:
                if not each.answer.done():
                    each.answer.set_exception(error)
        finally:
            for each in asked:
                each.answer.cancel()
