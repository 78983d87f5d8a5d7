"""One HTTP/1.1 connection: bytes out, one answer back. Parsing is llhttp's, through httptools."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import httptools
from multidict import CIMultiDict

# A chat completion is some kilobytes. An endless answer must not fill the memory of all other calls.
MAX_BODY_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Reply:
    """A whole answer. `raw_headers` are as they came; most answers are read without any of them."""

    status: int
    raw_headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def speaks_of_limits(self) -> bool:
        """Whether a header may say how much the server still takes."""
        return any(
            b"ratelimit" in (lower := name.lower()) or lower.startswith(b"retry-") for name, _ in self.raw_headers
        )

    @cached_property
    def headers(self) -> CIMultiDict[str]:
        """The headers, by name in any case."""
        return CIMultiDict((name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw_headers)


class ConnectionBroken(Exception):  # noqa: N818 - what happened, not what was done wrong
    """The connection ended before the answer was whole. Its text names the way, never what was sent or received."""


class Http1Connection(asyncio.Protocol):
    """Made by `loop.create_connection`. Carries one exchange at a time, and any number one after another."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._parser = httptools.HttpResponseParser(self)
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._heading = True
        self._until_close = True
        # More than was asked for came: whatever it is, it must not pass for the next answer.
        self._unasked = False
        self._deadline = 0.0
        self.idle_since = 0.0
        self.closed: asyncio.Future[None] = loop.create_future()

    @property
    def usable(self) -> bool:
        """Whether another exchange may begin on it."""
        return self._transport is not None and not self._transport.is_closing() and self._answer is None

    def exchange(self, data: bytes, first_byte_by: float, deadline: float) -> asyncio.Future[Reply]:
        """Send `data`, a whole request; its answer. Times are the loop's.

        The future fails with `TimeoutError` or `ConnectionBroken`; the connection is closed then. Whoever stops waiting
        calls `abort`.
        """
        answer = self._answer = self._loop.create_future()
        self._deadline = deadline
        self._timer = self._loop.call_at(min(first_byte_by, deadline), self._too_late)
        cast(asyncio.Transport, self._transport).write(data)
        return answer

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close when idle."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        if self._answer is None:
            self.abort()
            return
        if self._timer is not None and self._timer.when() < self._deadline:
            self._timer.cancel()
            self._timer = self._loop.call_at(self._deadline, self._too_late)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionBroken(type(error).__name__))
        if self._unasked:
            self.abort()

    def eof_received(self) -> None:
        """Called by the loop when the server sends no more."""
        if self._answer is not None and not self._heading and self._until_close:
            self._finish(keep=False)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the loop."""
        self._fail(ConnectionBroken(type(exc).__name__ if exc else "closed by the server"))
        if not self.closed.done():
            self.closed.set_result(None)

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self._answer is None:
            self._unasked = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._headers.append((name, value))
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self._until_close = False

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self._heading = False

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self._chunks.append(body)
        self._size += len(body)
        if self._size > MAX_BODY_BYTES:
            self._fail(ConnectionBroken("the answer is too long"))

    def on_message_complete(self) -> None:
        """Called by the parser, for an interim answer (1xx) too."""
        if self._parser.get_status_code() < 200:
            self._forget()
        else:
            self._finish(keep=self._parser.should_keep_alive())

    def _finish(self, *, keep: bool) -> None:
        answer = self._answer
        if answer is None:
            return
        reply = Reply(self._parser.get_status_code(), tuple(self._headers), b"".join(self._chunks))
        self._end()
        if not keep:
            self.close()
        if not answer.done():
            answer.set_result(reply)

    def _fail(self, error: Exception) -> None:
        answer = self._answer
        self._end()
        self.abort()
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _too_late(self) -> None:
        self._fail(TimeoutError())

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._answer = self._timer = None
        self._forget()

    def _forget(self) -> None:
        self._headers, self._chunks, self._size = [], [], 0
        self._heading = self._until_close = True
