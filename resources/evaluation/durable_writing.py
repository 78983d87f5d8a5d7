"""Writing what was paid for before anybody goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

T = TypeVar("T")
GRACE_S = 60.0


class DurableWriter(Generic[T]):
    """Writes things before their makers go on; those of one turn of the event loop share a transaction."""

    def __init__(self, put: Callable[[Sequence[T]], object]) -> None:
        self._put = put
        self._pending: list[T] = []
        self._written: asyncio.Future[None] | None = None

    async def write(self, thing: T) -> None:
        """Return once `thing` is durable."""
        self._pending.append(thing)
        if self._written is None:
            loop = asyncio.get_running_loop()
            self._written = loop.create_future()
            loop.call_soon(self.flush)
        await asyncio.shield(self._written)

    def flush(self) -> None:
        """Write what is pending and let those who wait for it go on."""
        pending, self._pending = self._pending, []
        written, self._written = self._written, None
        try:
            if pending:
                self._put(pending)
        except Exception as error:
            if written is None:
                raise
            written.set_exception(error)
            return
        if written is not None:
            written.set_result(None)


@asynccontextmanager
async def writing(put: Callable[[Sequence[T]], object]) -> AsyncIterator[DurableWriter[T]]:
    """A writer; what is still pending at the end is written, however the block ends."""
    writer = DurableWriter(put)
    try:
        yield writer
    finally:
        writer.flush()


async def work_through(items: Iterable[T], work: Callable[[T], Awaitable[None]], concurrency: int) -> None:
    """Work on all items, `concurrency` at a time: the next is taken up when one is done with, its writing included.

    When the caller is cancelled nothing more is taken up, and what is under way has `GRACE_S` seconds to end: it is
    being paid for.

    Raises:
        BaseException: the first failure; what was under way then is cancelled.
    """
    queue = iter(items)
    leaving = asyncio.Event()

    async def worker() -> None:
        for item in queue:
            await work(item)
            if leaving.is_set():
                return

    crew = asyncio.ensure_future(_all_of(worker, concurrency))
    try:
        await asyncio.shield(crew)
    except asyncio.CancelledError:
        leaving.set()
        await asyncio.wait({crew}, timeout=GRACE_S)
        raise
    finally:
        crew.cancel()


async def _all_of(worker: Callable[[], Coroutine[Any, Any, None]], count: int) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(worker())
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from failures
