"""Steps at the state store that must come out right even when the call that began them is cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from resources.llm.state.protocol import Happened

T = TypeVar("T")
Step = Callable[[], Coroutine[Any, Any, T]]


class Background:
    """Sees to it that steps end well when their caller is cancelled, and waits on close for those that go on.

    A step runs inside its caller, because a task of its own would cost as much as the step; where that is not possible
    it gets one.

    Args:
        cancels_cleanly: a cancelled step at this store has not happened, or the error says that it has (`Happened`).
    """

    def __init__(self, *, cancels_cleanly: bool) -> None:
        self._cancels_cleanly = cancels_cleanly
        self._tasks: set[asyncio.Task[Any]] = set()

    async def finish(self, step: Step[T]) -> T:
        """The result of `step`, which happens in any case: a cancelled caller leaves at once, the step goes on.

        `step` may be begun twice, so it must not matter if it is.
        """
        try:
            return await step()
        except asyncio.CancelledError as error:
            if _happened(error) is None:
                self.start(step)
            raise

    async def undoable(self, step: Step[T], undo: Callable[[T], None], *, repeatable: bool = False) -> T:
        """The result of `step`; if the caller is cancelled and it happens all the same, `undo` gets its result.

        Args:
            repeatable: beginning it again tells how it ended, if it did.
        """
        if self._cancels_cleanly or repeatable:
            try:
                return await step()
            except asyncio.CancelledError as error:
                if (done := _happened(error)) is not None:
                    undo(done.result)
                elif not self._cancels_cleanly:
                    self._start(step).add_done_callback(lambda done: _hand_over(done, undo))
                raise
        task = self._start(step)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda done: _hand_over(done, undo))
            raise

    def start(self, step: Step[Any]) -> None:
        """Run `step`; nobody waits for it before `drain`."""
        self._start(step).add_done_callback(_retrieve)

    async def drain(self) -> None:
        """Wait for what is under way now."""
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    async def drain_all(self) -> None:
        """Wait until nothing is under way; for the end, when nothing new begins."""
        while self._tasks:
            await self.drain()

    def _start(self, step: Step[T]) -> asyncio.Task[T]:
        task = asyncio.create_task(step())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _happened(error: asyncio.CancelledError) -> Happened | None:
    """What the cancelled step brought, if it came to that."""
    return error.args[0] if error.args and isinstance(error.args[0], Happened) else None


def _hand_over(task: asyncio.Task[T], receive: Callable[[T], None]) -> None:
    if not task.cancelled() and task.exception() is None:
        receive(task.result())


def _retrieve(task: asyncio.Task[Any]) -> None:
    # An error nobody waits for has been dealt with where it arose; asyncio should not report it again.
    if not task.cancelled():
        task.exception()
