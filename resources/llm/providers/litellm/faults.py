"""From LiteLLM's exceptions to faults. Their texts quote answers, so only kinds and codes are passed on.

The library's own class is often a guess: it calls a refused connection, a cut one and an answer that is no JSON all an
internal server error. What really happened is further down the chain of causes.
"""

from __future__ import annotations

from collections.abc import Iterator

import httpx
from litellm import exceptions

from domain.errors import FaultClass, ProviderError
from resources.llm.providers.http_faults import status_error

_BY_CLASS: tuple[tuple[type[BaseException], FaultClass], ...] = (
    (exceptions.ContentPolicyViolationError, FaultClass.REFUSED),
    (exceptions.Timeout, FaultClass.TIMEOUT),
    (exceptions.AuthenticationError, FaultClass.AUTHENTICATION),
    (exceptions.PermissionDeniedError, FaultClass.AUTHENTICATION),
    (exceptions.RateLimitError, FaultClass.RATE_LIMITED),
    (exceptions.BadRequestError, FaultClass.INVALID_REQUEST),
    (exceptions.NotFoundError, FaultClass.INVALID_REQUEST),
    (exceptions.APIConnectionError, FaultClass.CONNECTION),
)
_NOT_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


def call_error(error: BaseException, now_s: float) -> ProviderError:
    """The error for a call that ended without an answer.

    Args:
        now_s: seconds since the epoch; dates in headers count from it.
    """
    kind = type(error).__name__
    causes = list(_causes(error))
    if isinstance(error, exceptions.ContentPolicyViolationError):
        return ProviderError("the provider refused the content", fault=FaultClass.REFUSED)
    for cause in causes:
        if isinstance(cause, httpx.HTTPStatusError):
            body = cause.response.content if cause.response.is_stream_consumed else b""
            return status_error(cause.response.status_code, cause.response.headers, body, now_s)
        if isinstance(cause, httpx.TransportError):
            return _transport_error(cause)
    # The library refuses these itself, before any request.
    unsent = isinstance(error, exceptions.UnsupportedParamsError)
    fault = next((fault for known, fault in _BY_CLASS if isinstance(error, known)), FaultClass.MALFORMED)
    return ProviderError(
        f"LiteLLM got no usable answer ({kind})", fault=fault, never_sent=unsent, mend=_MEND.get(fault)
    )


_MEND = {
    FaultClass.AUTHENTICATION: "check the endpoint's api_key, or the vendor's environment variables.",
    FaultClass.INVALID_REQUEST: "check the model's name (litellm/<vendor>/<model>) and what the vendor accepts: "
    "seeds and schemas are not known to all.",
}


def _transport_error(cause: httpx.TransportError) -> ProviderError:
    never_sent = isinstance(cause, _NOT_CONNECTED)
    timed_out = isinstance(cause, httpx.TimeoutException)
    stage = "cannot be reached" if never_sent else "gave no complete answer"
    return ProviderError(
        f"the endpoint {stage} ({type(cause).__name__})",
        fault=FaultClass.TIMEOUT if timed_out else FaultClass.CONNECTION,
        never_sent=never_sent,
        mend="check base_url and the network." if never_sent else None,
    )


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__
