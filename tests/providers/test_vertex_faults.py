from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest
import pytest_asyncio
from openai_calls import until
from servers.vertex_server import VertexFault, VertexServer
from vertex_calls import CANARY, ask, fault_of, provider_for

from domain.errors import FaultClass
from resources.llm.providers.vertex import VertexProvider
from resources.llm.settings import EndpointSettings

Code = grpc.StatusCode


@pytest.fixture
def server() -> Iterator[VertexServer]:
    with VertexServer() as started:
        yield started


@pytest_asyncio.fixture
async def provider(server: VertexServer) -> AsyncIterator[VertexProvider]:
    made = provider_for(server)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (Code.INVALID_ARGUMENT, FaultClass.INVALID_REQUEST),
        (Code.NOT_FOUND, FaultClass.INVALID_REQUEST),
        (Code.FAILED_PRECONDITION, FaultClass.INVALID_REQUEST),
        (Code.OUT_OF_RANGE, FaultClass.INVALID_REQUEST),
        (Code.UNIMPLEMENTED, FaultClass.INVALID_REQUEST),
        (Code.UNAUTHENTICATED, FaultClass.AUTHENTICATION),
        (Code.PERMISSION_DENIED, FaultClass.AUTHENTICATION),
        (Code.RESOURCE_EXHAUSTED, FaultClass.RATE_LIMITED),
        (Code.DEADLINE_EXCEEDED, FaultClass.TIMEOUT),
        (Code.UNAVAILABLE, FaultClass.SERVER),
        (Code.INTERNAL, FaultClass.SERVER),
        (Code.UNKNOWN, FaultClass.SERVER),
        (Code.ABORTED, FaultClass.SERVER),
        (Code.DATA_LOSS, FaultClass.SERVER),
        (Code.CANCELLED, FaultClass.CONNECTION),
    ],
)
async def test_status_codes_have_one_class_each(
    provider: VertexProvider, server: VertexServer, code: grpc.StatusCode, fault: FaultClass
) -> None:
    server.fail_next(VertexFault(code=code))
    error = await fault_of(provider)
    assert (error.fault, error.never_sent) == (fault, False)
    assert code.name in error.problem
    assert len(server.bodies) == 1  # Google's client repeats nothing by itself


@pytest.mark.parametrize("seconds", [None, 0.25, 7.0])
async def test_retry_info_says_how_long_to_wait(
    provider: VertexProvider, server: VertexServer, seconds: float | None
) -> None:
    server.fail_next(VertexFault(code=Code.RESOURCE_EXHAUSTED, retry_after_s=seconds))
    error = await fault_of(provider)
    assert (error.fault, error.retry_after_s) == (FaultClass.RATE_LIMITED, seconds)


async def test_other_errors_may_say_it_too(provider: VertexProvider, server: VertexServer) -> None:
    server.fail_next(VertexFault(code=Code.UNAVAILABLE, retry_after_s=7.0))
    assert (await fault_of(provider)).retry_after_s == 7.0


async def test_a_bare_status_may_be_a_broken_connection(provider: VertexProvider, server: VertexServer) -> None:
    server.fail_next(VertexFault(code=Code.UNAVAILABLE, bare=True))
    error = await fault_of(provider)
    assert error.fault is FaultClass.CONNECTION
    assert error.rule.outcome_unknown


async def test_check_classifies_as_calls_do(provider: VertexProvider, server: VertexServer) -> None:
    server.fail_next(VertexFault(code=Code.PERMISSION_DENIED))
    with pytest.raises(Exception, match="PERMISSION_DENIED") as caught:
        await provider.check()
    assert vars(caught.value)["fault"] is FaultClass.AUTHENTICATION


async def test_a_refused_connection_was_never_sent_and_is_told_at_once() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        provider = VertexProvider(EndpointSettings(base_url=url, project="p", location="l"))
        error = await fault_of(provider)
        await provider.close()
    assert (error.fault, error.never_sent) == (FaultClass.CONNECTION, True)


async def test_a_host_that_never_shakes_hands_times_out_as_never_sent() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        provider = VertexProvider(EndpointSettings(base_url=url, project="p", location="l"))
        error = await fault_of(provider, timeout_s=0.3)
        await provider.close()
    assert (error.fault, error.never_sent) == (FaultClass.TIMEOUT, True)


async def test_a_cut_connection_has_an_unknown_outcome(server: VertexServer) -> None:
    relay = await Relay.to(server.port)
    provider = provider_for(server, base_url=f"http://127.0.0.1:{relay.port}")
    server.fail_next(VertexFault(latency_s=30))
    call = asyncio.create_task(fault_of(provider))
    await until(lambda: server.open_requests == 1)
    relay.cut()
    error = await call
    assert (error.fault, error.never_sent) == (FaultClass.CONNECTION, False)
    assert error.rule.outcome_unknown
    await provider.close()
    await relay.close()


async def test_a_slow_answer_times_out_and_is_cancelled_at_the_server(
    provider: VertexProvider, server: VertexServer
) -> None:
    await provider.check()
    server.fail_next(VertexFault(latency_s=30))
    error = await fault_of(provider, timeout_s=1.0)
    assert (error.fault, error.never_sent) == (FaultClass.TIMEOUT, False)
    await until(lambda: server.vanished == 1)


async def test_cancelling_cancels_the_call_at_the_server(provider: VertexProvider, server: VertexServer) -> None:
    server.fail_next(VertexFault(latency_s=30))
    call = asyncio.create_task(provider.send(ask(), 30))
    await until(lambda: server.open_requests == 1)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    await until(lambda: server.vanished == 1)
    assert (await provider.send(ask(), 30)).text == "ok"


async def test_errors_quote_neither_prompt_nor_answer(provider: VertexProvider, server: VertexServer) -> None:
    server.fail_next(VertexFault(code=Code.INVALID_ARGUMENT, message=f"you said {CANARY}"))
    error: BaseException | None = await fault_of(provider, ask(CANARY))
    assert CANARY.encode() in server.bodies[0]
    while error is not None:
        assert CANARY not in f"{error} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


class Relay:
    """Passes bytes on to a local port until it is told to cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._open: list[asyncio.StreamWriter] = []
        self._pumps: list[asyncio.Task[None]] = []

    @classmethod
    async def to(cls, port: int) -> Relay:
        relay = cls(port)
        relay._server = await asyncio.start_server(relay._join, "127.0.0.1", 0)
        relay.port = relay._server.sockets[0].getsockname()[1]
        return relay

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def close(self) -> None:
        self.cut()
        self._server.close()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._open += [writer, far_writer]
        self._pumps += [asyncio.create_task(_pump(reader, far_writer)), asyncio.create_task(_pump(far_reader, writer))]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
