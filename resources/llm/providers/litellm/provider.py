"""The provider: one attempt is one request of the library."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from domain.errors import ConfigurationError, FaultClass, ProviderError
from resources.llm.providers.litellm.wire import completion_parameters, parse_answer, vendor_headers
from resources.llm.providers.rate_limit_headers import pause_asked_s
from resources.llm.providers.tokens import byte_token_bound
from resources.llm.types import ProviderAnswer, Request

if TYPE_CHECKING:
    from resources.llm.settings import EndpointSettings


class LiteLLMProvider:
    """Any vendor of the LiteLLM library. Belongs to the event loop of its first call.

    Args:
        settings: key, `base_url` and headers for all vendors of this endpoint; without a key, the library reads the
            vendor's own environment variables.
        clock: seconds since the epoch; dates in headers count from it.

    Raises:
        ConfigurationError: the library is not installed, or something is set that it does not get from here.
    """

    def __init__(self, settings: EndpointSettings | None, *, clock: Callable[[], float] = time.time) -> None:
        self._fixed = _fixed_parameters(settings)
        self._clock = clock
        self._places = asyncio.Semaphore(settings.max_connections if settings else 256)
        self._loading = asyncio.Lock()
        self._library: ModuleType | None = None
        self._closed = False

    def input_token_bound(self, request: Request) -> int:
        """Input tokens the provider may bill for `request`; see `tokens`."""
        return byte_token_bound(request)

    async def send(self, request: Request, timeout_s: float) -> ProviderAnswer:
        """Make one attempt, as `Provider.send`. Cancelling it closes its connection.

        Raises:
            ProviderError: with the fault's class; `never_sent` where no byte left.
        """
        parameters = completion_parameters(request) | self._fixed
        response = await self._exchange(parameters, timeout_s)
        answer = parse_answer(response, byte_token_bound(request), request.max_output_tokens)
        return replace(answer, pause_s=pause_asked_s(vendor_headers(response), self._clock()) or 0.0)

    async def check(self) -> None:
        """Load the library. It has no call that reaches every vendor without generating, so none is made.

        Raises:
            ProviderError: this provider is closed.
        """
        await self._load()

    async def close(self) -> None:
        """Close the connections. Safe to call twice; a closed provider answers no more."""
        self._closed = True
        library, self._library = self._library, None
        if library is not None:
            await library.leave()

    async def _exchange(self, parameters: dict[str, Any], timeout_s: float) -> Any:
        sent = False
        try:
            async with asyncio.timeout(timeout_s):
                library = await self._load()
                async with self._places:
                    sent = True
                    return await library.complete(self._clock, timeout=timeout_s, **parameters)
        except TimeoutError:
            raise _timeout_error(timeout_s, never_sent=not sent) from None

    async def _load(self) -> ModuleType:
        if self._closed:
            raise ProviderError("this provider is closed", fault=FaultClass.INVALID_REQUEST, never_sent=True)
        if self._library is None:
            async with self._loading:
                if self._library is None:
                    # The import takes seconds: in a thread, so that other calls go on meanwhile.
                    library = await asyncio.to_thread(_import_library)
                    library.enter()
                    self._library = library
        return self._library


def _import_library() -> ModuleType:
    from resources.llm.providers.litellm import library

    return library


def _fixed_parameters(settings: EndpointSettings | None) -> dict[str, Any]:
    if find_spec("litellm") is None:
        raise ConfigurationError(
            "models named litellm/… need the LiteLLM library, which is not installed",
            field="endpoints.litellm",
            mend="install promptory[litellm].",
        )
    if settings is None:
        return {}
    unused = [name for name in ("project", "location", "options") if getattr(settings, name)]
    if unused:
        raise ConfigurationError(
            f"litellm/… does not use {' and '.join(unused)}",
            field=f"endpoints.litellm.{unused[0]}",
            mend="remove it; what a vendor needs beyond a key goes into the environment variables LiteLLM reads.",
        )
    fixed: dict[str, Any] = {}
    if settings.base_url:
        fixed["api_base"] = settings.base_url
    if settings.api_key:
        fixed["api_key"] = settings.api_key.get_secret_value()
    if settings.headers:
        fixed["extra_headers"] = {name: value.get_secret_value() for name, value in settings.headers.items()}
    return fixed


def _timeout_error(timeout_s: float, *, never_sent: bool) -> ProviderError:
    stage = "no turn" if never_sent else "no complete answer"
    return ProviderError(
        f"{stage} within {timeout_s:g} s",
        fault=FaultClass.TIMEOUT,
        never_sent=never_sent,
        mend="raise the endpoint's timeout_s, or ask for fewer output tokens.",
    )
