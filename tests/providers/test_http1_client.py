"""The HTTP client against servers that say exactly what a test tells them, byte by byte."""

from __future__ import annotations

import asyncio
import datetime
import gc
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from resources.llm.providers import http1_client, http1_connection
from resources.llm.providers.http1_client import Http1Client, HttpFailure

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def heard(reader: asyncio.StreamReader) -> bytes:
    """One request with a Content-Length."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
    return head + await reader.readexactly(int(length.split(b":")[1]))


def says(*parts: bytes, then_close: bool = False) -> Talk:
    """Answers every request with `parts`, each in a packet of its own."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            await heard(reader)
            for part in parts:
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0.001)
            if then_close:
                break

    return talk


class Served:
    """A server and a client of it."""

    def __init__(self, client: Http1Client) -> None:
        self.client = client
        self.connections = 0

    async def ask(self, body: bytes = b"hello", **options: float) -> http1_connection.Reply:
        return await self.client.request("POST", "/v", body, timeout_s=options.pop("timeout_s", 5), **options)


@asynccontextmanager
async def serving(
    talk: Talk, *, max_connections: int = 4, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Served]:
    served: Served | None = None

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert served is not None
        served.connections += 1
        try:
            await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    scheme = "https" if tls else "http"
    served = Served(Http1Client(f"{scheme}://{host}:{port}/base", {"Authorization": "Bearer k"}, max_connections))
    try:
        yield served
    finally:
        await served.client.close()
        server.close()
        await server.wait_closed()


async def failure(asking: Awaitable[object]) -> HttpFailure:
    with pytest.raises(HttpFailure) as caught:
        await asking
    assert caught.value.__cause__ is None
    return caught.value


@pytest.mark.parametrize(
    "parts",
    [
        (OK,),
        tuple(OK[n : n + 1] for n in range(len(OK))),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\no\r\n", b"1\r\nk\r\n0\r\n\r\n"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK,),
    ],
    ids=["whole", "by bytes", "chunked", "early hints", "continue"],
)
async def test_an_answer_in_any_shape_is_the_same_answer_and_its_connection_is_used_again(
    parts: tuple[bytes, ...],
) -> None:
    async with serving(says(*parts)) as served:
        replies = [await served.ask() for _ in range(3)]
        assert [(reply.status, reply.body) for reply in replies] == [(200, b"ok")] * 3
        assert served.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_connection_that_ends_with_its_answer_is_not_used_again(answer: bytes) -> None:
    async with serving(says(answer, then_close=True)) as served:
        assert [(await served.ask()).body for _ in range(2)] == [b"ok"] * 2
        assert served.connections == 2


async def test_the_request_is_what_a_server_expects() -> None:
    got: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await heard(reader))
        writer.write(OK)
        await writer.drain()

    async with serving(talk) as served:
        await served.ask("naïve".encode())
    head, _, body = got[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /base/v HTTP/1.1"
    assert {"Authorization: Bearer k", "Accept-Encoding: identity", "Content-Length: 6"} <= set(lines)
    assert [line for line in lines if line.startswith("Host: 127.0.0.1:")]
    assert body == "naïve".encode()


async def test_headers_are_found_in_any_case_and_any_number() -> None:
    answer = b"HTTP/1.1 429 Slow\r\nretry-AFTER: 7\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 0\r\n\r\n"
    async with serving(says(answer)) as served:
        reply = await served.ask()
    assert (reply.status, reply.headers["Retry-After"], reply.headers.getall("x-a")) == (429, "7", ["1", "2"])


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nok",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    ],
)
async def test_what_is_no_whole_answer_is_a_broken_connection_of_unknown_outcome(answer: bytes) -> None:
    async with serving(says(answer, then_close=True)) as served:
        broken = await failure(served.ask())
        assert (broken.timeout, broken.never_sent) == (False, False)


async def test_an_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http1_connection, "MAX_BODY_BYTES", 1000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 2000
    async with serving(says(answer)) as served:
        assert "too long" in (await failure(served.ask())).kind


async def test_a_silent_server_and_a_slow_one_run_out_of_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(silent) as served:
        late = await failure(served.ask(timeout_s=0.5))
        assert (late.timeout, late.never_sent) == (True, False)
        assert (await failure(served.ask(first_byte_s=0.05))).timeout
    slow = says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
    async with serving(slow) as served:
        assert (await failure(served.ask(timeout_s=0.1, first_byte_s=0.09))).timeout


async def test_a_slow_answer_that_began_in_time_is_waited_for() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        writer.write(OK[:-1])
        await writer.drain()
        await asyncio.sleep(0.7)
        writer.write(OK[-1:])
        await writer.drain()

    async with serving(talk) as served:
        assert (await served.ask(first_byte_s=0.5)).body == b"ok"


async def test_more_calls_than_connections_wait_and_say_when_they_never_left() -> None:
    go = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            await heard(reader)
            await go.wait()
            writer.write(OK)
            await writer.drain()

    async with serving(talk, max_connections=2) as served:
        first = [asyncio.create_task(served.ask()) for _ in range(2)]
        await asyncio.sleep(0.05)
        waited = await failure(served.ask(timeout_s=0.05))
        assert (waited.timeout, waited.never_sent) == (True, True)
        later = asyncio.create_task(served.ask())
        go.set()
        assert [reply.body for reply in await asyncio.gather(*first, later)] == [b"ok"] * 3
        assert served.connections == 2


async def test_an_idle_connection_that_the_server_closed_or_that_is_old_is_not_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with serving(says(OK, then_close=True)) as served:
        await served.ask()
        while any(idle.usable for idle in served.client._idle):  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.005)
        assert (await served.ask()).body == b"ok"
    monkeypatch.setattr(http1_client, "KEEPALIVE_S", 0.0)
    async with serving(says(OK)) as served:
        await served.ask()
        await asyncio.sleep(0.01)
        assert (await served.ask()).body == b"ok"
        assert served.connections == 2


async def test_what_comes_unasked_is_no_answer_to_the_next_request() -> None:
    async with serving(says(OK + OK)) as served:
        assert (await served.ask()).body == b"ok"
        await asyncio.sleep(0.02)
        assert (await served.ask()).body == b"ok"
        assert served.connections == 2


async def test_a_cancelled_call_closes_its_connection_and_frees_its_place() -> None:
    reached, closed = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        reached.set()
        try:
            await reader.read()
        finally:
            closed.set()

    async with serving(talk, max_connections=1) as served:
        call = asyncio.create_task(served.ask(timeout_s=60))
        await reached.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.wait_for(closed.wait(), 30)
        assert (await failure(served.ask(timeout_s=0.5))).never_sent is False  # it got a place, and was sent


async def test_a_call_cancelled_at_any_moment_of_connecting_leaves_no_socket() -> None:
    async with serving(says(OK), host="localhost", max_connections=100) as served:
        for turns in range(40):
            call = asyncio.create_task(served.ask())
            for _ in range(turns):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await served.client.close()
        gc.collect()  # an open socket would warn here, and warnings are errors


async def test_closing_ends_calls_under_way() -> None:
    reached = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await heard(reader)
        reached.set()
        await reader.read()

    async with serving(silent) as served:
        call = asyncio.create_task(served.ask(timeout_s=60))
        await reached.wait()
        await served.client.close()
        assert not (await failure(call)).timeout


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for `localhost`, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(pem))
    return path


async def test_tls_is_spoken_to_who_can_be_trusted_and_nobody_else(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with serving(says(OK), tls=tls, host="localhost") as served:
        unknown = await failure(served.ask())
        assert (unknown.timeout, unknown.never_sent, unknown.kind) == (False, True, "SSLCertVerificationError")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    async with serving(says(OK), tls=tls, host="localhost") as served:
        assert [(await served.ask()).body for _ in range(2)] == [b"ok"] * 2
        assert served.connections == 1


@pytest.mark.parametrize("host", ["nowhere.invalid", f"{'x' * 70}.invalid"])
async def test_a_host_that_does_not_or_cannot_exist_was_never_sent_to(host: str) -> None:
    client = Http1Client(f"http://{host}/v1", {}, 1)
    missing = await failure(client.request("GET", "/models", None, timeout_s=60))
    assert (missing.timeout, missing.never_sent) == (False, True)
    await client.close()
