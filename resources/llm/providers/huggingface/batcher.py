"""Calls of one model gathered into batches, and generated one batch after the other."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from domain.errors import FaultClass, ProviderError
from resources.llm.providers.huggingface.work import Work

if TYPE_CHECKING:
    from resources.llm.providers.huggingface.model import LoadedModel


class Waiting(NamedTuple):
    """A call and the future its caller waits for."""

    work: Work
    done: asyncio.Future[None]


class Batcher:
    """A queue in front of one model. Calls that come during a batch make up the next one."""

    def __init__(self, model: LoadedModel, worker: ThreadPoolExecutor, *, batch_size: int, batch_wait_s: float) -> None:
        self.model = model
        self._worker = worker
        self._batch_size = batch_size
        self._batch_wait_s = batch_wait_s
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self._current: list[Waiting] = []
        self._closed = False
        self._runner = asyncio.create_task(self._run())

    async def answer(self, work: Work) -> None:
        """Wait until `work` is filled in; when cancelled, its generation stops at the next token.

        Raises:
            ProviderError: generation failed, or the batcher was closed.
        """
        if self._closed:
            raise _closed_error(work)
        waiting = Waiting(work, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(waiting)
        try:
            await waiting.done
        finally:
            work.dropped.set()

    async def close(self) -> None:
        """Stop generating; calls that still wait fail."""
        self._closed = True
        self._runner.cancel()
        await asyncio.gather(self._runner, return_exceptions=True)
        while not self._queue.empty():
            self._current.append(self._queue.get_nowait())
        for waiting in self._current:
            waiting.work.dropped.set()
            _settle(waiting, _closed_error(waiting.work))

    async def _run(self) -> None:
        while True:
            await self._gather()
            if self._current:
                await self._generate()

    async def _gather(self) -> None:
        """Make the next calls that somebody still waits for the current batch."""
        self._current = [await self._queue.get()]
        if self._queue.qsize() + 1 < self._batch_size:
            await asyncio.sleep(self._batch_wait_s)
        while len(self._current) < self._batch_size and not self._queue.empty():
            self._current.append(self._queue.get_nowait())
        self._current = [waiting for waiting in self._current if not waiting.done.done()]

    async def _generate(self) -> None:
        batch = [waiting.work for waiting in self._current]
        for work in batch:
            work.started = True
        generating = asyncio.get_running_loop().run_in_executor(self._worker, self.model.generate, batch)
        await asyncio.wait([generating])
        failure = generating.exception()
        for waiting in self._current:
            _settle(waiting, _failed_error(failure) if failure else None)
        self._current = []


def _settle(waiting: Waiting, failure: ProviderError | None) -> None:
    if waiting.done.done():
        return
    if failure is None:
        waiting.done.set_result(None)
    else:
        waiting.done.set_exception(failure)


def _failed_error(failure: BaseException) -> ProviderError:
    return ProviderError(
        f"generation failed ({type(failure).__name__})",
        fault=FaultClass.SERVER,
        mend="if memory ran out, lower the option batch_size, shorten prompts, or choose a smaller model.",
    )


def _closed_error(work: Work) -> ProviderError:
    return ProviderError(
        "the provider was closed before it answered", fault=FaultClass.CONNECTION, never_sent=not work.started
    )
