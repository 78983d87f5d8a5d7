"""From Google's errors to faults. Their texts may quote the prompt, so only codes are passed on."""

from __future__ import annotations

import grpc.aio
from google.api_core.exceptions import GoogleAPICallError
from google.rpc.error_details_pb2 import RetryInfo

from domain.errors import FaultClass, ProviderError

_BY_CODE: dict[str, FaultClass] = {
    "ALREADY_EXISTS": FaultClass.INVALID_REQUEST,
    "CANCELLED": FaultClass.CONNECTION,
    "DEADLINE_EXCEEDED": FaultClass.TIMEOUT,
    "FAILED_PRECONDITION": FaultClass.INVALID_REQUEST,
    "INVALID_ARGUMENT": FaultClass.INVALID_REQUEST,
    "NOT_FOUND": FaultClass.INVALID_REQUEST,
    "OUT_OF_RANGE": FaultClass.INVALID_REQUEST,
    "PERMISSION_DENIED": FaultClass.AUTHENTICATION,
    "RESOURCE_EXHAUSTED": FaultClass.RATE_LIMITED,
    "UNAUTHENTICATED": FaultClass.AUTHENTICATION,
    "UNIMPLEMENTED": FaultClass.INVALID_REQUEST,
}
_MEND: dict[FaultClass, str] = {
    FaultClass.AUTHENTICATION: "check the credentials, their role aiplatform.user, and project.",
    FaultClass.INVALID_REQUEST: "check the model's name, whether the location has it, and the parameters.",
    FaultClass.TIMEOUT: "raise the endpoint's timeout_s, or ask for fewer output tokens.",
}


def call_error(error: GoogleAPICallError) -> ProviderError:
    """The error for a call that left and ended without an answer."""
    status = error.grpc_status_code
    code = status.name if status is not None else "UNKNOWN"
    answered = code in _BY_CODE or _sent_by_server(error)
    fault = _BY_CODE.get(code) or (FaultClass.SERVER if answered else FaultClass.CONNECTION)
    return ProviderError(
        f"Vertex AI answered {code}" if answered else f"the call ended without an answer ({code})",
        fault=fault,
        status_code=int(error.code) if answered and error.code is not None else None,
        retry_after_s=_retry_after_s(error),
        mend=_MEND.get(fault),
    )


def _sent_by_server(error: GoogleAPICallError) -> bool:
    """Whether the status came over the wire: gRPC gives a connection that broke the same codes.

    Trailers prove that it did. A server's bare status is taken for a broken connection, which keeps the charge.
    """
    response = error.response
    return isinstance(response, grpc.aio.AioRpcError) and bool(response.trailing_metadata())


def _retry_after_s(error: GoogleAPICallError) -> float | None:
    waits = [detail.retry_delay for detail in error.details if isinstance(detail, RetryInfo)]
    return max(waits[0].seconds + waits[0].nanos / 1e9, 0.0) if waits else None
