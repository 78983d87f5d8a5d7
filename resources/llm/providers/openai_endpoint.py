"""What every call to an OpenAI-compatible endpoint shares: connections, key, faults and input bounds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError, FaultClass, ProviderError
from resources.llm.providers.http1_client import Http1Client, HttpFailure
from resources.llm.providers.http1_connection import Reply
from resources.llm.providers.http_faults import status_error
from resources.llm.providers.input_bounds import InputBounds
from resources.llm.providers.openai_options import TokenOptions
from resources.llm.providers.rate_limit_headers import pause_asked_s
from resources.llm.types import Request

if TYPE_CHECKING:
    from resources.llm.settings import EndpointSettings

VENDOR_BASE_URL = "https://api.openai.com/v1"
CHECK_TIMEOUT_S = 10.0


class OpenAIEndpoint:
    """One endpoint, one connection pool. Belongs to the event loop of its first call.

    Args:
        settings: where to and with which key.
        options: what bounds its input tokens.
        clock: seconds since the epoch; dates in headers count from it.

    Raises:
        ConfigurationError: a header value or an option cannot be used.
    """

    keeps_time = True

    def __init__(
        self, settings: EndpointSettings, options: TokenOptions, clock: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._bounds = InputBounds(
            options.tokenizer,
            openais_own=settings.base_url in (None, VENDOR_BASE_URL),
            extra_tokens=options.extra_input_tokens,
            field="endpoints.options.tokenizer",
        )
        self._headers = _headers(settings)
        self._client: Http1Client | None = None
        self._closed = False

    def input_token_bound(self, request: Request) -> int:
        """Input tokens the provider may bill for `request`; see `tokens`."""
        return self._bounds.of(request, request.model.partition("/")[2])

    async def check(self) -> None:
        """List the endpoint's models.

        Raises:
            ProviderError: it cannot be reached, refuses the key or lists no models.
        """
        await self._exchange("GET", "/models", None, min(CHECK_TIMEOUT_S, self._settings.timeout_s))

    async def close(self) -> None:
        """Close every connection. Safe to call twice; a closed provider answers no more."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _pause_s(self, reply: Reply) -> float:
        """Seconds in which the endpoint takes no further request, as the answer says."""
        if not reply.speaks_of_limits:
            return 0.0
        return pause_asked_s(reply.headers, self._clock()) or 0.0

    async def _exchange(
        self, method: str, path: str, body: bytes | None, timeout_s: float, first_byte_s: float | None = None
    ) -> Reply:
        """One HTTP exchange that ended in a 2xx."""
        clock = asyncio.get_running_loop().time
        started = clock()
        try:
            reply = await self._open_client().request(
                method, path, body, timeout_s=timeout_s, first_byte_s=first_byte_s
            )
        except HttpFailure as failure:
            error = _error_of(failure, round(clock() - started, 2))
        else:
            if 200 <= reply.status < 300:
                return reply
            error = status_error(reply.status, reply.headers, reply.body, self._clock())
        raise error

    def _open_client(self) -> Http1Client:
        if self._closed:
            raise ProviderError("this provider is closed", fault=FaultClass.INVALID_REQUEST, never_sent=True)
        if self._client is None:
            settings = self._settings
            self._client = Http1Client(settings.base_url or VENDOR_BASE_URL, self._headers, settings.max_connections)
        return self._client


def _error_of(failure: HttpFailure, after_s: float) -> ProviderError:
    if failure.timeout:
        return _timeout_error(after_s, never_sent=failure.never_sent)
    return _connection_error(failure.kind, never_sent=failure.never_sent)


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
