"""An event loop on a thread of its own, for callers that have none or must stay interruptible."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


@contextmanager
def loop_thread(name: str) -> Iterator[asyncio.AbstractEventLoop]:
    """A running loop; at the end of the block what is left on it is cancelled and waited for."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name=name, daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        asyncio.run_coroutine_threadsafe(_wind_up(loop), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def run_interruptibly(step: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` for the main thread of a run that Dagster may terminate.

    Dagster turns the signal into an exception raised wherever the main thread happens to be. Inside an event loop that
    is some callback, and the loop logs and forgets it: the run would go on. Here the main thread only waits; `step` is
    cancelled and waited for, and the exception goes on its way.
    """
    with loop_thread("promptory-work") as loop:
        task = asyncio.run_coroutine_threadsafe(_started(step), loop).result()
        try:
            return asyncio.run_coroutine_threadsafe(_result_of(task), loop).result()
        except BaseException:
            loop.call_soon_threadsafe(task.cancel)
            asyncio.run_coroutine_threadsafe(asyncio.wait({task}), loop).result()
            raise


async def _started(step: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    return asyncio.create_task(step)


async def _result_of(task: asyncio.Task[T]) -> T:
    return await asyncio.shield(task)


async def _wind_up(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what other threads left behind, and end the loop's helper threads."""
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
    await loop.shutdown_default_executor()
