"""The provider: one attempt on a connection that is known to stand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from domain.errors import FaultClass, ProviderError
from resources.llm.providers.tokens import byte_token_bound
from resources.llm.providers.vertex.batches import VertexBatches
from resources.llm.providers.vertex.names import Target, target_of
from resources.llm.providers.vertex.options import read_options
from resources.llm.types import ProviderAnswer, Request

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

    from resources.llm.providers.vertex.session import Session
    from resources.llm.settings import EndpointSettings

CHECK_TIMEOUT_S = 30.0


class VertexProvider:
    """Vertex AI over gRPC. Belongs to the event loop of its first call.

    Args:
        settings: project and location; `base_url` for another host. Plain `http://` is reached without credentials,
            so that no token ever travels unencrypted.
        credentials: instead of the machine's application default credentials.

    Raises:
        ConfigurationError: a setting is missing or not usable.
    """

    def __init__(self, settings: EndpointSettings | None, *, credentials: Credentials | None = None) -> None:
        self._target = target_of(settings)
        self._max_calls = settings.max_connections if settings else 1
        self._credentials = credentials
        self._opening = asyncio.Lock()
        self._session: Session | None = None
        self._options = read_options(settings)
        self._batches: VertexBatches | None = None
        self._closed = False

    def input_token_bound(self, request: Request) -> int:
        """Input tokens the provider may bill for `request`; see `tokens`."""
        return byte_token_bound(request)

    async def send(self, request: Request, timeout_s: float) -> ProviderAnswer:
        """Make one attempt, as `Provider.send`. Cancelling it cancels the call at the server.

        Raises:
            ProviderError: with the fault's class; `never_sent` where no byte left.
            ConfigurationError: neither the settings nor the credentials name a project.
        """
        clock = asyncio.get_running_loop().time
        started = clock()
        session = await self._open_session(timeout_s)
        return await session.generate(request, timeout_s - (clock() - started), byte_token_bound(request))

    def batch_api(self) -> VertexBatches:
        """Batch prediction jobs over files in Cloud Storage.

        Raises:
            ConfigurationError: no folder for the files is set.
        """
        if self._batches is None:
            self._batches = VertexBatches(self._target, self._options, self._credentials)
        return self._batches

    async def check(self) -> None:
        """Ask for the project's locations: that takes a connection, credentials and a project, and generates nothing.

        Raises:
            ProviderError: it cannot be reached or refuses the credentials.
            ConfigurationError: neither the settings nor the credentials name a project.
        """
        session = await self._open_session(CHECK_TIMEOUT_S)
        await session.check(CHECK_TIMEOUT_S)

    async def close(self) -> None:
        """Close every connection. Safe to call twice; a closed provider answers no more."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        if self._batches is not None:
            await self._batches.close()

    async def _open_session(self, timeout_s: float) -> Session:
        if self._closed:
            raise ProviderError("this provider is closed", fault=FaultClass.INVALID_REQUEST, never_sent=True)
        if self._session is None:
            try:
                async with asyncio.timeout(timeout_s), self._opening:
                    self._session = self._session or await self._make_session()
            except TimeoutError:
                raise ProviderError(
                    f"Google's libraries and credentials were not ready within {timeout_s:g} s",
                    fault=FaultClass.TIMEOUT,
                    never_sent=True,
                ) from None
        return self._session

    async def _make_session(self) -> Session:
        # Importing Google's libraries takes seconds: in a thread, so that other calls go on meanwhile.
        open_session = await asyncio.to_thread(_load)
        return await open_session(self._target, self._credentials, self._max_calls)


def _load() -> Callable[[Target, Credentials | None, int], Awaitable[Session]]:
    from resources.llm.providers.vertex.session import open_session

    return open_session
