"""A pool of HTTP/1.1 connections to one endpoint that knows, of every failure, whether a byte of the request had left.

Why not a library: money hangs on that one bit, and the fast clients do not tell it (decision 7).
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import deque
from collections.abc import Mapping
from typing import cast

from aiohappyeyeballs import start_connection
from yarl import URL

from resources.llm.providers.http1_connection import ConnectionBroken, Http1Connection, Reply

CONNECT_TIMEOUT_S = 10.0
# How long IPv6 is alone in the race: RFC 8305, section 8.
HAPPY_EYEBALLS_DELAY_S = 0.25
# Below the 5 s of common servers: a connection the server has just closed costs an attempt of unknown outcome.
KEEPALIVE_S = 4.0
_OWN_HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "promptory"}


class HttpFailure(Exception):  # noqa: N818 - an outcome that its reader turns into an error of ours
    """No answer. `timeout` tells a deadline from a broken connection; `kind` names the way it broke.

    Attributes:
        never_sent: it is certain that no byte of the request left.
    """

    def __init__(self, kind: str, *, timeout: bool, never_sent: bool) -> None:
        super().__init__(kind)
        self.kind = kind
        self.timeout = timeout
        self.never_sent = never_sent


class Http1Client:
    """Belongs to the event loop of its first request. Follows no redirect, reads no environment, keeps no cookie.

    Args:
        base_url: `http://` or `https://`; requests name paths below it.
        headers: sent with every request; checked by the caller to be what HTTP can carry.
        max_connections: requests under way at once; further ones wait.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], max_connections: int) -> None:
        self._url = URL(base_url)
        self._path = self._url.raw_path.rstrip("/")
        own = {
            "Host": self._url.raw_authority,
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": "promptory",
        }
        lines = own | dict(headers)
        self._head = "".join(f"{name}: {value}\r\n" for name, value in lines.items()).encode("latin-1")
        self._tls = _tls_context() if self._url.scheme == "https" else None
        self._places = asyncio.Semaphore(max_connections)
        self._idle: deque[Http1Connection] = deque()
        self._open: set[Http1Connection] = set()

    async def request(
        self, method: str, path: str, body: bytes | None, *, timeout_s: float, first_byte_s: float | None = None
    ) -> Reply:
        """The endpoint's answer, whatever its status. Cancelling closes the connection.

        Args:
            path: below the base URL, beginning with a slash.
            first_byte_s: longest wait for the first byte of the answer, if shorter than `timeout_s`.

        Raises:
            HttpFailure: there is none.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline = started + timeout_s
        first_byte_by = deadline if first_byte_s is None else started + first_byte_s
        if self._places.locked():
            await self._wait_for_place(deadline)
        else:
            await self._places.acquire()
        try:
            connection = self._take_idle(loop.time()) or await self._connect(loop, min(first_byte_by, deadline))
            answer = connection.exchange(self._message(method, path, body), first_byte_by, deadline)
            try:
                reply = await answer
            except TimeoutError:
                raise HttpFailure("no answer in time", timeout=True, never_sent=False) from None
            except ConnectionBroken as error:
                raise HttpFailure(str(error), timeout=False, never_sent=False) from None
            except asyncio.CancelledError:
                connection.abort()
                raise
            self._put_back(connection, loop.time())
            return reply
        finally:
            self._places.release()

    async def close(self) -> None:
        """Close every connection and wait until each is."""
        connections = list(self._open)
        for connection in connections:
            connection.abort()
        if connections:
            await asyncio.wait([connection.closed for connection in connections])
        self._idle.clear()

    async def _wait_for_place(self, deadline: float) -> None:
        try:
            async with asyncio.timeout_at(deadline):
                await self._places.acquire()
        except TimeoutError:
            raise HttpFailure("no free connection", timeout=True, never_sent=True) from None

    def _take_idle(self, now: float) -> Http1Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.usable:
                continue
            if now - connection.idle_since <= KEEPALIVE_S:
                return connection
            connection.close()
        return None

    def _put_back(self, connection: Http1Connection, now: float) -> None:
        while self._idle and now - self._idle[0].idle_since > KEEPALIVE_S:
            self._idle.popleft().close()
        if connection.usable:
            connection.idle_since = now
            self._idle.append(connection)

    async def _connect(self, loop: asyncio.AbstractEventLoop, deadline: float) -> Http1Connection:
        try:
            async with asyncio.timeout_at(min(deadline, loop.time() + CONNECT_TIMEOUT_S)):
                connection = await self._open_connection(loop)
        except TimeoutError:
            raise HttpFailure("no connection", timeout=True, never_sent=True) from None
        except (
            OSError,
            UnicodeError,
        ) as error:  # refused, no such host or none possible, a certificate that does not fit
            raise HttpFailure(type(error).__name__, timeout=False, never_sent=True) from None
        self._open.add(connection)
        connection.closed.add_done_callback(lambda _: self._open.discard(connection))
        return connection

    async def _open_connection(self, loop: asyncio.AbstractEventLoop) -> Http1Connection:
        """Over IPv6 or IPv4, whichever answers first.

        Not by `create_connection` alone: cancelled while it races the two, it leaves its sockets open.
        """
        host = cast(str, self._url.raw_host)
        addresses = await loop.getaddrinfo(host, self._url.port, type=socket.SOCK_STREAM)
        opened = await start_connection(addresses, happy_eyeballs_delay=HAPPY_EYEBALLS_DELAY_S)
        try:
            _, connection = await loop.create_connection(
                lambda: Http1Connection(loop),
                sock=opened,
                ssl=self._tls,
                server_hostname=host if self._tls else None,
            )
        except BaseException:
            opened.close()
            raise
        return connection

    def _message(self, method: str, path: str, body: bytes | None) -> bytes:
        line = f"{method} {self._path}{path} HTTP/1.1\r\n".encode()
        if body is None:
            return b"%b%b\r\n" % (line, self._head)
        return b"%b%bContent-Length: %d\r\n\r\n%b" % (line, self._head, len(body), body)


def _tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
