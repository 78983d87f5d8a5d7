"""A loopback Vertex AI: the real gRPC service and messages, with thoughts, bills and faults a test tells it.

It bills by itself, from the bytes it received, and keeps those bytes. Use as a context manager:

    with VertexServer(behaviour=lambda request: "billing") as server:
        server.fail_next(VertexFault(code=grpc.StatusCode.UNAVAILABLE))
        ...  # point a client at server.base_url
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from google.cloud.aiplatform_v1.types import GenerateContentRequest, GenerateContentResponse
from google.cloud.location.locations_pb2 import ListLocationsRequest, ListLocationsResponse
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from servers.billing import InvoiceLine, Tariff, count_tokens, cut_to_tokens, price_nano_usd

GENERATE = "/google.cloud.aiplatform.v1.PredictionService/GenerateContent"
LIST_LOCATIONS = "/google.cloud.location.Locations/ListLocations"
FREE = Tariff("0", "0")


@dataclass(frozen=True)
class VertexFault:
    """How one call goes wrong.

    Attributes:
        code: answer this status instead of running the model; not billed.
        message: the status's text.
        retry_after_s: seconds of the RetryInfo that comes with it.
        bare: send the status without the details Google's servers add.
        latency_s: real seconds before the answer; a call that is cancelled meanwhile counts as vanished.
        response: answer these values instead of what the model says.
    """

    code: grpc.StatusCode | None = None
    message: str = "refused"
    retry_after_s: float | None = None
    bare: bool = False
    latency_s: float = 0.0
    response: Mapping[str, Any] | None = None


class VertexServer:
    """The service.

    Args:
        behaviour: from the parsed request to the answer's text, or to a candidate's values.
        tariffs: price by the last part of the model's resource name; models that are not listed are free.
    """

    def __init__(
        self,
        behaviour: Callable[[GenerateContentRequest], str | dict[str, Any]] = lambda _request: "ok",
        tariffs: Mapping[str, Tariff] | None = None,
    ) -> None:
        self.behaviour = behaviour
        self.tariffs = dict(tariffs or {})
        self.bodies: list[bytes] = []
        self.requests: list[GenerateContentRequest] = []
        self.metadata: list[dict[str, str]] = []
        self.checks: list[str] = []
        self.invoice: list[InvoiceLine] = []
        self.vanished = 0
        self.open_requests = 0
        self.port = 0
        self._queued: deque[VertexFault] = deque()
        self._lock = threading.Lock()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoint(self) -> dict[str, Any]:
        """Settings of an endpoint that reaches this server."""
        return {"base_url": self.base_url, "project": "acme", "location": "europe-west4"}

    def fail_next(self, fault: VertexFault, times: int = 1) -> None:
        with self._lock:
            self._queued.extend([fault] * times)

    def __enter__(self) -> VertexServer:
        self._server = grpc.server(ThreadPoolExecutor(128, thread_name_prefix="vertex-server"))
        handlers = {GENERATE: self._generate, LIST_LOCATIONS: self._list_locations}
        self._server.add_generic_rpc_handlers((_Handlers(handlers),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(grace=None).wait(10)

    def _list_locations(self, raw: bytes, context: grpc.ServicerContext) -> bytes:
        self.checks.append(ListLocationsRequest.FromString(raw).name)
        self._refuse(self._next_fault(), context)
        return ListLocationsResponse().SerializeToString()

    def _generate(self, raw: bytes, context: grpc.ServicerContext) -> bytes:
        request = GenerateContentRequest.deserialize(raw)
        with self._lock:
            index = len(self.bodies)
            self.bodies.append(raw)
            self.requests.append(request)
            self.metadata.append({str(key): str(value) for key, value in context.invocation_metadata()})
            self.open_requests += 1
        try:
            return self._answer(index, request, self._next_fault(), context)
        finally:
            with self._lock:
                self.open_requests -= 1

    def _answer(
        self, index: int, request: GenerateContentRequest, fault: VertexFault, context: grpc.ServicerContext
    ) -> bytes:
        self._refuse(fault, context)
        response = self._think(index, request)
        end = time.monotonic() + fault.latency_s
        while time.monotonic() < end:
            time.sleep(0.005)
            if not context.is_active():
                self.invoice[-1].client_vanished = True
                self.vanished += 1
                break
        if fault.response is not None:
            response = GenerateContentResponse(dict(fault.response))
        return GenerateContentResponse.serialize(response)

    def _think(self, index: int, request: GenerateContentRequest) -> GenerateContentResponse:
        said = self.behaviour(request)
        text = said if isinstance(said, str) else ""
        text, was_cut = cut_to_tokens(text, request.generation_config.max_output_tokens)
        candidate = {
            "content": {"role": "model", "parts": [{"text": text}]},
            "finish_reason": "MAX_TOKENS" if was_cut else "STOP",
        }
        candidate |= said if isinstance(said, dict) else {}
        model = request.model.rpartition("/")[2]
        parts = [part.text for content in (*request.contents, request.system_instruction) for part in content.parts]
        given, spoken = sum(map(count_tokens, parts)) + 3, count_tokens(text)
        price = price_nano_usd(self.tariffs.get(model, FREE), given, spoken, 0)
        line = InvoiceLine(index, f"vertex-{index}", model, given, spoken, 0, price, time.monotonic())
        with self._lock:
            self.invoice.append(line)
        usage = {"prompt_token_count": given, "candidates_token_count": spoken, "total_token_count": given + spoken}
        return GenerateContentResponse(
            {"candidates": [candidate], "usage_metadata": usage, "response_id": line.request_id}
        )

    def _next_fault(self) -> VertexFault:
        with self._lock:
            return self._queued.popleft() if self._queued else VertexFault()

    def _refuse(self, fault: VertexFault, context: grpc.ServicerContext) -> None:
        if fault.code is None:
            return
        if not fault.bare:
            status = Status(code=fault.code.value[0], message=fault.message, details=_details(fault))
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(fault.code, fault.message)


def _details(fault: VertexFault) -> list[AnyMessage]:
    if fault.retry_after_s is None:
        return []
    nanos = round(fault.retry_after_s * 1e9)
    wait = AnyMessage()
    wait.Pack(RetryInfo(retry_delay=Duration(seconds=nanos // 10**9, nanos=nanos % 10**9)))
    return [wait]


class _Handlers(grpc.GenericRpcHandler):
    def __init__(self, by_method: Mapping[str, Callable[[bytes, grpc.ServicerContext], bytes]]) -> None:
        self._by_method = by_method

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        serve = self._by_method.get(handler_call_details.method)
        return grpc.unary_unary_rpc_method_handler(serve) if serve else None
