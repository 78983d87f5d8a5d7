"""A loopback OpenAI-compatible provider that thinks, bills and fails as a test tells it, in a thread of its own.

It bills by itself, from the bytes it received, and keeps those bytes. Use as a context manager:

    with OpenAIServer(behaviour=lambda body: "billing", tariffs={"m": Tariff("0.15", "0.60")}) as server:
        server.fail_next(Fault(status=429, retry_after="2"))
        ...  # point a client at server.base_url with server.api_key
        assert server.invoice_nano_usd() == ledger_total
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from aiohttp import web
from servers.billing import (
    InvoiceLine,
    Tariff,
    count_embedded,
    count_input,
    count_tokens,
    cut_to_tokens,
    embedded_texts,
    price_nano_usd,
)
from servers.embeddings import embedded, of_words, refusal
from servers.openai_replies import (
    Answer,
    Body,
    Fault,
    as_events,
    completion_of,
    deliver,
    error_response,
    headers_of,
    with_usage_of,
)

Behaviour = Callable[[Body], "str | Answer"]
FaultRule = Callable[[int, Body], "Fault | None"]
FREE = Tariff("0", "0")


class OpenAIServer:
    """The provider.

    Args:
        behaviour: from the parsed request body to the answer; the same text for everything by default.
        tariffs: price by bare model name (without `openai/`); models that are not listed are free.
        faults: asked with the request's 0-based index and body, where no `fail_next` is queued.
        api_key: the one key it accepts; None accepts any.
        embed: from a text to its vector; how many words two texts share, by default.
    """

    def __init__(
        self,
        behaviour: Behaviour = lambda _body: "ok",
        tariffs: Mapping[str, Tariff] | None = None,
        faults: FaultRule = lambda _index, _body: None,
        api_key: str | None = "test-key",
        embed: Callable[[str], Sequence[float]] = of_words,
    ) -> None:
        self.behaviour = behaviour
        self.tariffs = dict(tariffs or {})
        self.faults = faults
        self.api_key = api_key
        self.embed = embed
        self.bodies: list[bytes] = []
        self.requests: list[Body] = []
        self.authorizations: list[str | None] = []
        self.received_at: list[float] = []
        self.invoice: list[InvoiceLine] = []
        self.open_requests = 0
        self.peak_open_requests = 0
        self.connections_lost = 0
        self.port = 0
        self._queued: deque[Fault] = deque()
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="openai-server", daemon=True)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def endpoint(self) -> dict[str, Any]:
        """Settings of an endpoint that reaches this server."""
        return {"base_url": self.base_url, "api_key": self.api_key}

    def fail_next(self, fault: Fault, times: int = 1) -> None:
        """Let the next `times` requests go wrong, before the `faults` rule is asked."""
        with self._lock:
            self._queued.extend([fault] * times)

    @contextmanager
    def holding(self, after: int, seconds: float) -> Iterator[None]:
        """Answer what comes after the first `after` requests only in `seconds`, whatever `faults` says.

        Who makes them cannot have ended before a test has seen that they came, however slow the machine is.
        """
        usual, held = self.faults, Fault(latency_s=seconds)
        self.faults = lambda index, body: held if index >= after else usual(index, body)
        try:
            yield
        finally:
            self.faults = usual

    def invoice_nano_usd(self, model: str | None = None) -> int:
        """What was billed so far, for one bare model name or for all."""
        with self._lock:
            return sum(line.nano_usd for line in self.invoice if model in (None, line.model))

    def received(self, text: str) -> bool:
        """Whether any raw body holds `text`, as UTF-8 or in JSON escapes."""
        needles = (text.encode(), json.dumps(text)[1:-1].encode())
        with self._lock:
            return any(needle in body for body in self.bodies for needle in needles)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(10) or not self.port:
            raise RuntimeError("the loopback provider did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        application = web.Application(client_max_size=64 * 2**20)
        self.add_routes(application)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
            await site.start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._stopped.wait()
        finally:
            self._ready.set()
            await runner.cleanup()

    def add_routes(self, application: web.Application) -> None:
        """What it answers to."""
        application.router.add_post("/v1/chat/completions", self._complete)
        application.router.add_post("/v1/embeddings", self._complete)
        application.router.add_get("/v1/models", self._models)

    async def _models(self, request: web.Request) -> web.Response:
        if not self._authorized(request):
            return error_response(401, {"code": "invalid_api_key"}, {})
        return web.json_response({"object": "list", "data": [{"id": name} for name in self.tariffs]})

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        self.open_requests += 1
        self.peak_open_requests = max(self.peak_open_requests, self.open_requests)
        try:
            return await self._answer(request, raw)
        finally:
            self.open_requests -= 1

    async def _answer(self, request: web.Request, raw: bytes) -> web.StreamResponse:
        body: Body = json.loads(raw)
        index, fault = self._record(request, raw, body)
        if not self._authorized(request):
            return error_response(401, {"code": "invalid_api_key"}, {})
        if fault.status is not None and not fault.billed:
            await asyncio.sleep(fault.latency_s)
            return error_response(fault.status, fault.error, headers_of(fault))
        embedding = request.path.endswith("/embeddings")
        if embedding and (error := refusal(body)):
            return error_response(400, error, {})
        completion, line = self._embed(index, body, fault) if embedding else self._think(index, body, fault)
        await asyncio.sleep(fault.latency_s)
        if request.transport is None or request.transport.is_closing():
            self._mark_vanished(line)
        if fault.status is not None:
            return error_response(fault.status, fault.error, headers_of(fault))
        in_pieces = bool(body.get("stream")) and not fault.no_stream
        made = as_events(completion) if in_pieces else json.dumps(completion).encode()
        kind = "text/event-stream" if in_pieces else "application/json"
        return await deliver(request, made if fault.raw_body is None else fault.raw_body, fault, kind)

    def _record(self, request: web.Request, raw: bytes, body: Body) -> tuple[int, Fault]:
        with self._lock:
            index = len(self.bodies)
            self.bodies.append(raw)
            self.requests.append(body)
            self.authorizations.append(request.headers.get("Authorization"))
            self.received_at.append(time.monotonic())
            queued = self._queued.popleft() if self._queued else None
        return index, queued or self.faults(index, body) or Fault()

    def _think(self, index: int, body: Body, fault: Fault) -> tuple[Body, InvoiceLine]:
        answer = self.behaviour(body)
        answer = Answer(answer) if isinstance(answer, str) else answer
        limit = body.get("max_tokens", body.get("max_completion_tokens", 4096))
        text, was_cut = cut_to_tokens(answer.text, limit)
        line = self._bill(index, body, text, answer.cached_input_tokens, billed=fault.billed is not False)
        return with_usage_of(fault, completion_of(answer, text, line, was_cut=was_cut)), line

    def _embed(self, index: int, body: Body, fault: Fault) -> tuple[Body, InvoiceLine]:
        line = self._bill(index, body, "", 0, billed=fault.billed is not False)
        answer = embedded(body, [self.embed(text) for text in embedded_texts(body)], line.input_tokens)
        return with_usage_of(fault, answer), line

    def _bill(self, index: int, body: Body, text: str, cached: int, *, billed: bool) -> InvoiceLine:
        model = str(body.get("model"))
        input_tokens = count_embedded(body) if "input" in body else count_input(body)
        output_tokens = count_tokens(text)
        cached = min(cached, input_tokens)
        price = price_nano_usd(self.tariffs.get(model, FREE), input_tokens, output_tokens, cached)
        line = InvoiceLine(
            index, f"chatcmpl-{index}", model, input_tokens, output_tokens, cached, price, self.received_at[index]
        )
        if billed:
            with self._lock:
                self.invoice.append(line)
        return line

    def _mark_vanished(self, line: InvoiceLine) -> None:
        line.client_vanished = True
        self.connections_lost += 1

    def _authorized(self, request: web.Request) -> bool:
        return self.api_key is None or request.headers.get("Authorization") == f"Bearer {self.api_key}"
