"""An open way to Vertex AI: connections, tokens and a project. Loads Google's libraries."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias, TypeVar

import grpc.aio
from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import Credentials
from google.cloud.aiplatform_v1.services.prediction_service import PredictionServiceAsyncClient
from google.cloud.location.locations_pb2 import ListLocationsRequest

from domain.errors import ConfigurationError, FaultClass, ProviderError
from resources.llm.providers.vertex.channels import Channels
from resources.llm.providers.vertex.credentials import Tokens, default_credentials
from resources.llm.providers.vertex.faults import call_error
from resources.llm.providers.vertex.names import Target, model_path
from resources.llm.providers.vertex.wire import generate_request, parse_answer
from resources.llm.types import ProviderAnswer, Request

Answer = TypeVar("Answer")
Metadata: TypeAlias = list[tuple[str, str]]

# No timeout of gRPC's own: the one around connecting and calling ends the call too, and cancels it at the server.
_ONCE: dict[str, Any] = {"retry": None, "timeout": None}


async def open_session(target: Target, credentials: Credentials | None, max_calls: int) -> Session:
    """A session for `target`; connects with its first call.

    Raises:
        ProviderError: AUTHENTICATION, never sent; the machine has no credentials.
        ConfigurationError: no project is known.
    """
    project = target.project
    if credentials is None and target.encrypted:
        credentials, named = await asyncio.to_thread(default_credentials)
        project = project or named
    if not project:
        raise ConfigurationError(
            "no project is known to bill",
            field="endpoints.vertex.project",
            mend="set project; these credentials do not name one.",
        )
    return Session(Channels(target, max_calls), Tokens(credentials), project, target.location)


class Session:
    """One project in one location, reached with one set of credentials."""

    def __init__(self, channels: Channels, tokens: Tokens, project: str, location: str) -> None:
        self._channels = channels
        self._tokens = tokens
        self._project = project
        self._location = location

    async def generate(self, request: Request, timeout_s: float, input_token_bound: int) -> ProviderAnswer:
        """One call of generateContent.

        Raises:
            ProviderError: with the fault's class; `never_sent` where no byte left.
        """
        call = generate_request(request, model_path(request.model, self._project, self._location))
        response = await self._exchange(
            lambda client, metadata: client.generate_content(call, metadata=metadata, **_ONCE), timeout_s
        )
        return parse_answer(response, input_token_bound, request.max_output_tokens)

    async def check(self, timeout_s: float) -> None:
        """List the project's locations.

        Raises:
            ProviderError: it cannot be reached or refuses the credentials.
        """
        call = ListLocationsRequest(name=f"projects/{self._project}", page_size=1)
        await self._exchange(
            lambda client, metadata: client.list_locations(call, metadata=metadata, **_ONCE), timeout_s
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._channels.close()

    async def _exchange(
        self, call: Callable[[PredictionServiceAsyncClient, Metadata], Awaitable[Answer]], timeout_s: float
    ) -> Answer:
        """One call that was answered. Errors are raised outside `except`: Google's quote what was asked."""
        sent = False
        try:
            async with asyncio.timeout(timeout_s):
                metadata = await self._tokens.headers()
                client = await self._channels.ready_client()
                sent = True
                return await call(client, metadata)
        except TimeoutError:
            failure = _timeout_error(timeout_s, never_sent=not sent)
        except GoogleAPICallError as error:
            failure = call_error(error)
        except grpc.aio.UsageError:
            failure = ProviderError("this provider is closed", fault=FaultClass.INVALID_REQUEST, never_sent=True)
        raise failure


def _timeout_error(timeout_s: float, *, never_sent: bool) -> ProviderError:
    stage = "no connection" if never_sent else "no complete answer"
    return ProviderError(
        f"{stage} within {timeout_s:g} s",
        fault=FaultClass.TIMEOUT,
        never_sent=never_sent,
        mend="raise the endpoint's timeout_s, or ask for fewer output tokens.",
    )
