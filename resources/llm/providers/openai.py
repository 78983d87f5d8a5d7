"""`openai/…`: any endpoint that speaks OpenAI's chat completions (OpenAI, vLLM, Ollama, gateways), on plain aiohttp."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from domain.errors import ConfigurationError, FaultClass, ProviderError
from resources.llm.providers.http_faults import status_error
from resources.llm.providers.input_bounds import InputBounds
from resources.llm.providers.openai_options import read_options
from resources.llm.providers.openai_stream import completion_of
from resources.llm.providers.openai_wire import parse_answer, request_body
from resources.llm.providers.rate_limit_headers import pause_asked_s
from resources.llm.types import ProviderAnswer, Request

if TYPE_CHECKING:
    from resources.llm.settings import EndpointSettings

VENDOR_BASE_URL = "https://api.openai.com/v1"
CONNECT_TIMEOUT_S = 10.0
CHECK_TIMEOUT_S = 10.0
# Below the 5 s of common servers: a connection the server has just closed costs an attempt of unknown outcome.
KEEPALIVE_S = 4.0


class _Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class OpenAIProvider:
    """One endpoint, one connection pool. Belongs to the event loop of its first call.

    Args:
        settings: where to and with which key.
        clock: seconds since the epoch; dates in headers count from it.

    Raises:
        ConfigurationError: a header value or an option cannot be used.
    """

    def __init__(self, settings: EndpointSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._base_url = settings.base_url or VENDOR_BASE_URL
        self._options = read_options(settings)
        self._bounds = InputBounds(
            self._options.tokenizer,
            openais_own=self._base_url == VENDOR_BASE_URL,
            extra_tokens=self._options.extra_input_tokens,
            field="endpoints.options.tokenizer",
        )
        self._headers = _headers(settings)
        self._urls: dict[str, URL] = {}
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    def input_token_bound(self, request: Request) -> int:
        """Input tokens the provider may bill for `request`; see `tokens`."""
        return self._bounds.of(request, request.model.partition("/")[2])

    async def send(self, request: Request, timeout_s: float) -> ProviderAnswer:
        """Make one attempt, as `Provider.send`. Cancelling it closes its connection.

        Raises:
            ProviderError: with the fault's class; `never_sent` where no byte left.
        """
        body = request_body(request, self._options.max_tokens_field, stream=self._options.stream)
        reply = await self._exchange("POST", "/chat/completions", body, timeout_s)
        # An endpoint that knows no streams answers in one piece.
        streamed = reply.headers.get("Content-Type", "").startswith("text/event-stream")
        answer = completion_of(reply.body) if streamed else reply.body
        parsed = parse_answer(answer, self.input_token_bound(request), request.max_output_tokens)
        pause_s = pause_asked_s(reply.headers, self._clock())
        return replace(parsed, pause_s=pause_s) if pause_s else parsed

    async def check(self) -> None:
        """List the endpoint's models.

        Raises:
            ProviderError: it cannot be reached, refuses the key or lists no models.
        """
        await self._exchange("GET", "/models", None, min(CHECK_TIMEOUT_S, self._settings.timeout_s))

    async def close(self) -> None:
        """Close every connection. Safe to call twice; a closed provider answers no more."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _exchange(self, method: str, path: str, body: bytes | None, timeout_s: float) -> _Reply:
        """One HTTP exchange that ended in a 2xx.

        aiohttp's exceptions carry the request's headers, and with them the key. They are therefore turned into a
        value inside `except` and raised outside it, so that nothing hangs on `__context__`.
        """
        session = self._open_session()
        data = None if body is None else _Body(body)
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            async with asyncio.timeout_at(started + self._first_byte_limit_s(timeout_s)) as limit:
                async with session.request(method, self._url(path), data=data, allow_redirects=False) as response:
                    first = await response.content.readany()
                    limit.reschedule(started + timeout_s)
                    reply = _Reply(response.status, response.headers, first + await response.content.read())
        except TimeoutError as error:
            failure = _timeout_error(round(clock() - started, 2), never_sent=_never_sent(data, error))
        except aiohttp.ClientError as error:
            failure = _connection_error(type(error).__name__, never_sent=_never_sent(data, error))
        else:
            if 200 <= reply.status < 300:
                return reply
            failure = status_error(reply.status, reply.headers, reply.body, self._clock())
        raise failure

    def _first_byte_limit_s(self, timeout_s: float) -> float:
        options = self._options
        return min(timeout_s, options.first_byte_s) if options.stream and options.first_byte_s else timeout_s

    def _url(self, path: str) -> URL:
        url = self._urls.get(path)
        if url is None:
            url = self._urls[path] = URL(self._base_url + path)
        return url

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise ProviderError("this provider is closed", fault=FaultClass.INVALID_REQUEST, never_sent=True)
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._settings.max_connections, keepalive_timeout=KEEPALIVE_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            )
        return self._session


class _Body(aiohttp.BytesPayload):
    """A request's body that notes when it begins to leave; a provider cannot act on headers alone.

    Noted before the first byte reaches the socket: `sent=False` is certain, `sent=True` is "perhaps". A trace would
    tell the same and cost a tenth of the whole exchange.
    """

    sent = False

    async def write(self, writer: AbstractStreamWriter) -> None:
        self.sent = True
        await super().write(writer)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        self.sent = True
        await super().write_with_length(writer, content_length)


def _never_sent(body: _Body | None, error: Exception) -> bool:
    """Whether it is certain that the provider has not got the request."""
    if body is not None:
        return not body.sent
    return isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)


def _timeout_error(timeout_s: float, *, never_sent: bool) -> ProviderError:
    stage = "no connection" if never_sent else "no complete answer"
    return ProviderError(
        f"{stage} within {timeout_s:g} s",
        fault=FaultClass.TIMEOUT,
        never_sent=never_sent,
        mend="raise the endpoint's timeout_s, or ask for fewer output tokens.",
    )


def _connection_error(kind: str, *, never_sent: bool) -> ProviderError:
    stage = "cannot be reached" if never_sent else "broke the connection before its answer was complete"
    return ProviderError(
        f"the endpoint {stage} ({kind})",
        fault=FaultClass.CONNECTION,
        never_sent=never_sent,
        mend="check base_url and the network." if never_sent else None,
    )


def _headers(settings: EndpointSettings) -> dict[str, str]:
    headers = {name: value.get_secret_value() for name, value in settings.headers.items()}
    key = settings.api_key.get_secret_value() if settings.api_key else ""
    if key:
        headers["Authorization"] = f"Bearer {key}"
    for name, value in headers.items():
        if not value.isprintable() or not value.isascii() or not name.isascii() or not name.isprintable():
            raise ConfigurationError(
                "an API key or header holds a line break or a character HTTP headers cannot carry",
                field="endpoints.api_key" if name == "Authorization" else "endpoints.headers",
                mend="copy it again, without quotes, spaces or line ends.",
            )
    return headers | {"Content-Type": "application/json"}
