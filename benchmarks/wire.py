"""Just enough HTTP/1.1 on asyncio for a provider whose own cost does not blur what is measured."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Awaitable, Callable
from typing import NamedTuple

REASONS = {200: "OK", 404: "Not Found", 429: "Too Many Requests", 500: "Internal Server Error"}


class Reply(NamedTuple):
    """What goes back. `cut_at` bytes of the body are sent before the connection breaks; None sends all."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()
    cut_at: int | None = None


def allow_many_sockets() -> None:
    """Let this process and those it starts have as many files open as the system permits."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


Handler = Callable[[str, str, bytes], Awaitable[Reply]]


class Connection(asyncio.Protocol):
    """One keep-alive connection: requests with a Content-Length, answered one after the other."""

    def __init__(self, handle: Handler) -> None:
        self._handle = handle
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._busy = False
        self._answering: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        # What was asked is thought through and billed all the same: only the answer has nowhere to go.
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not self._busy:
            self._next()

    def _next(self) -> None:
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end])
        length = _content_length(head)
        if len(self._received) < end + 4 + length:
            return
        body = bytes(self._received[end + 4 : end + 4 + length])
        del self._received[: end + 4 + length]
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        self._busy = True
        self._answering = asyncio.ensure_future(self._answer(method, path, body))

    async def _answer(self, method: str, path: str, body: bytes) -> None:
        reply = await self._handle(method, path, body)
        self._busy = False
        if self._transport is None:
            return
        self._transport.write(_encoded(reply))
        if reply.cut_at is not None:
            self._transport.close()
        else:
            self._next()


def _content_length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def _encoded(reply: Reply) -> bytes:
    if reply.cut_at == 0:
        return b""
    lines = [
        f"HTTP/1.1 {reply.status} {REASONS[reply.status]}",
        "Content-Type: application/json",
        f"Content-Length: {len(reply.body)}",
        *(f"{name}: {value}" for name, value in reply.headers),
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + reply.body[: reply.cut_at]
