"""The way of one event loop to the Redis server: what callers ask at the same time shares one round trip."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domain.errors import StateUnavailableError
from resources.llm.state.redis_address import RedisAddress
from resources.llm.state.redis_script import LOST, Script

if TYPE_CHECKING:
    from redis.asyncio import Redis

# The first calls of a burst go on while the server works on the next ones; all at once would wait for the last.
MOST_PER_PIPELINE = 16
CONNECT_TIMEOUT_S = 3.0
MEND = (
    "Check that the Redis server of the `state` setting runs, can be reached from here and takes writes; "
    "paid calls are refused until it does."
)


@dataclass(frozen=True, slots=True)
class _Call:
    script: Script
    arguments: Sequence[bytes]
    answer: asyncio.Future[Any]


class RedisLane:
    """Runs scripts. One pipeline is under way at a time; what is asked meanwhile makes up the next.

    A connection that breaks is made anew and the pipeline sent once more: every script may be run twice.
    """

    def __init__(self, address: RedisAddress) -> None:
        self.loop = asyncio.get_running_loop()
        self._address = address
        self._client = _connect(address)
        self._queue: deque[_Call] = deque()
        self._sender: asyncio.Task[None] | None = None

    async def run(self, script: Script, arguments: Sequence[bytes]) -> Any:
        """What `script` answers to `arguments`.

        Raises:
            StateUnavailableError: the server is away, refuses, or has lost the data that was opened.
        """
        call = _Call(script, arguments, self.loop.create_future())
        self._queue.append(call)
        if self._sender is None:
            self._sender = self.loop.create_task(self._send_all())
        return await call.answer

    def is_busy(self) -> bool:
        """Whether answers are under way."""
        return self._sender is not None

    async def close(self) -> None:
        """Finish what is under way and release the connection."""
        if self._sender is not None:
            await asyncio.wait({self._sender})
        await self._client.aclose()

    async def _send_all(self) -> None:
        batch: list[_Call] = []
        try:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(len(self._queue), MOST_PER_PIPELINE))]
                self._deliver(batch, await self._answers(batch))
        except BaseException as error:
            # Nobody will send the rest: the event loop ends under way, or the client library broke.
            for call in (*batch, *self._queue):
                if not call.answer.done():
                    call.answer.cancel() if isinstance(error, asyncio.CancelledError) else call.answer.set_exception(
                        error
                    )
            self._queue.clear()
            raise
        finally:
            self._sender = None

    async def _answers(self, batch: list[_Call]) -> list[Any]:
        from redis.exceptions import NoScriptError, RedisError

        try:
            answers = await self._ask(batch, known=True)
            unknown = [index for index, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
            if unknown:
                late = await self._ask([batch[index] for index in unknown], known=False)
                for index, answer in zip(unknown, late, strict=True):
                    answers[index] = answer
        except (RedisError, OSError) as error:
            return [error] * len(batch)
        return answers

    async def _ask(self, batch: list[_Call], *, known: bool) -> list[Any]:
        """The answers, or errors of single scripts. A server that does not know a script yet is sent its source."""
        pipeline = self._client.pipeline(transaction=False)
        for call in batch:
            script = call.script
            command = ("EVALSHA", script.sha) if known else ("EVAL", script.source)
            pipeline.execute_command(*command, 1, self._address.root, *call.arguments)
        # One limit for all answers: the library's own is set anew for each, at the price of a script.
        async with asyncio.timeout(self._address.answer_timeout_s):
            return await pipeline.execute(raise_on_error=False)

    def _deliver(self, batch: list[_Call], answers: list[Any]) -> None:
        for call, answer in zip(batch, answers, strict=True):
            if call.answer.done():
                continue
            if isinstance(answer, Exception):
                call.answer.set_exception(self._unavailable(answer))
            else:
                call.answer.set_result(answer)

    def _unavailable(self, error: Exception) -> StateUnavailableError:
        why = str(error)
        if why.startswith(LOST):
            return lost_data(self._address)
        failure = StateUnavailableError(
            f"The state store at {self._address.place} cannot be used: {why.rstrip('.') or type(error).__name__}.",
            field="state",
            mend=MEND,
        )
        failure.__cause__ = error
        return failure


def lost_data(address: RedisAddress) -> StateUnavailableError:
    """The server runs, but caps and spend are gone or were begun anew by another process."""
    return StateUnavailableError(
        f"The state store at {address.place} has lost its data since it was opened.",
        field="state",
        mend="Wait until it is opened again and its totals are rebuilt from the ledger, which happens by itself; "
        "turn on the server's persistence (appendonly) and `maxmemory-policy noeviction`.",
    )


def _connect(address: RedisAddress) -> Redis:
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import ConnectionError as BrokenConnection

    pool = BlockingConnectionPool.from_url(
        address.url,
        max_connections=2,
        protocol=2,
        socket_connect_timeout=CONNECT_TIMEOUT_S,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 1, supported_errors=(BrokenConnection,)),
    )
    return Redis.from_pool(pool)
