"""A loopback Vertex AI for batch prediction: the job service's REST, and the part of Cloud Storage's JSON API it needs.

A job moves one state on whenever anybody looks at it. It reads its requests from the storage, writes predictions there,
and bills at half price.
"""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote

from aiohttp import web
from servers.billing import InvoiceLine, Tariff, count_tokens, cut_to_tokens, price_nano_usd
from servers.openai_batch_server import half
from servers.openai_server import FREE

Body = dict[str, Any]
End = Literal["SUCCEEDED", "CANCELLED", "EXPIRED", "FAILED"]
PARENT = re.compile(r"/v1/(projects/[^/]+/locations/[^/]+)/batchPredictionJobs$")
JOB = re.compile(r"/v1/(projects/[^/]+/locations/[^/]+/batchPredictionJobs/\d+)(:cancel)?$")
FILTER = re.compile(r'labels\.(\w+)="([^"]*)"')


@dataclass(frozen=True)
class VertexPlan:
    """How one job goes.

    Attributes:
        answered: how many of its requests are tried (None: all).
        refused: line numbers whose request is said to be wrong.
        failing: line numbers that fail for a fault of the service.
        left_out: line numbers of requests that were answered and billed, and of which nothing is told.
        no_usage: line numbers whose answers lack their counts of tokens.
    """

    end: End = "SUCCEEDED"
    answered: int | None = None
    refused: frozenset[int] = frozenset()
    failing: frozenset[int] = frozenset()
    left_out: frozenset[int] = frozenset()
    no_usage: frozenset[int] = frozenset()


@dataclass
class StoredJob:
    number: int
    values: Body
    lines: list[Body]
    cancelled: bool = False


@dataclass
class Uploaded:
    name: str
    data: bytes
    tag: int = field(default_factory=time.time_ns)


class VertexBatchServer:
    """The service.

    Args:
        behaviour: from a request's JSON to the answer's text.
        tariffs: price by the last part of the model's name.
        plans: from a job's number (0-based) to how it goes.
    """

    def __init__(
        self,
        behaviour: Callable[[Body], str] = lambda _request: "ok",
        tariffs: Mapping[str, Tariff] | None = None,
        plans: Callable[[int], VertexPlan] = lambda _number: VertexPlan(),
    ) -> None:
        self.behaviour = behaviour
        self.tariffs = dict(tariffs or {})
        self.plans = plans
        self.jobs: dict[str, StoredJob] = {}
        self.blobs: dict[str, Uploaded] = {}
        self.invoice: list[InvoiceLine] = []
        self.requests: list[Body] = []
        self.log: list[str] = []
        self.cut_create = False
        self.delay_s = 0.0
        self.port = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    @property
    def endpoint(self) -> Body:
        """Settings of an endpoint that reaches this server."""
        url = f"http://127.0.0.1:{self.port}"
        options = {"batch_folder": "gs://acme-batches/promptory", "batch_url": url, "storage_url": url}
        return {"base_url": url, "project": "acme", "location": "europe-west4", "options": options}

    def invoice_nano_usd(self) -> int:
        return sum(line.nano_usd for line in self.invoice)

    def __enter__(self) -> VertexBatchServer:
        self._thread.start()
        if not self._ready.wait(10) or not self.port:
            raise RuntimeError("the loopback service did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(10)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        application = web.Application(client_max_size=64 * 2**20)
        application.router.add_route("*", "/{tail:.*}", self._handle)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.port = runner.addresses[0][1]
            self._ready.set()
            await self._stopped.wait()
        finally:
            self._ready.set()
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        raw = request.raw_path.partition("?")[0]
        self.log.append(f"{request.method} {raw}")
        await asyncio.sleep(self.delay_s)
        response = await self._obey(request, raw)
        await asyncio.sleep(self.delay_s)
        return response

    async def _obey(self, request: web.Request, raw: str) -> web.StreamResponse:
        if raw.startswith(("/upload/storage/", "/download/storage/", "/storage/")):
            return await self._storage(request, raw)
        if parent := PARENT.match(raw):
            if request.method == "GET":
                return self._list(request, parent[1])
            return await self._create(request, parent[1])
        if named := JOB.match(raw):
            return self._one(named[1], cancel=named[2] is not None)
        return _error(404, "NOT_FOUND")

    async def _create(self, request: web.Request, parent: str) -> web.Response:
        body = json.loads(await request.read())
        if body.get("inputConfig", {}).get("instancesFormat") != "jsonl" or not body.get("displayName"):
            return _error(400, "INVALID_ARGUMENT")
        number = len(self.jobs)
        name = f"{parent}/batchPredictionJobs/{1000 + number}"
        body |= {"name": name, "state": "JOB_STATE_PENDING", "createTime": "2026-11-25T12:00:00Z"}
        self.jobs[name] = StoredJob(number, body, self._lines_of(body))
        if self.cut_create and request.transport is not None:
            request.transport.close()
        return web.json_response(body)

    def _list(self, request: web.Request, parent: str) -> web.Response:
        wanted = FILTER.fullmatch(request.query.get("filter", "")) if request.query.get("filter") else None
        if request.query.get("filter") and wanted is None:
            return _error(400, "INVALID_ARGUMENT")
        found = [job for name, job in self.jobs.items() if name.startswith(parent)]
        if wanted is not None:
            found = [job for job in found if job.values.get("labels", {}).get(wanted[1]) == wanted[2]]
        start = int(request.query.get("pageToken") or 0)
        size = int(request.query.get("pageSize") or 50)
        shown = found[start : start + size]
        told: Body = {"batchPredictionJobs": [dict(job.values) for job in shown]}
        if start + size < len(found):
            told["nextPageToken"] = str(start + size)
        for job in shown:
            self._step(job)
        return web.json_response(told)

    def _one(self, name: str, *, cancel: bool) -> web.Response:
        job = self.jobs.get(name)
        if job is None:
            return _error(404, "NOT_FOUND")
        if cancel:
            job.cancelled = True
            job.values["state"] = "JOB_STATE_CANCELLING"
            return web.json_response({})
        told = web.json_response(job.values)
        self._step(job)
        return told

    def _step(self, job: StoredJob) -> None:
        state = job.values["state"]
        if state == "JOB_STATE_PENDING":
            job.values["state"] = "JOB_STATE_RUNNING"
        elif state in ("JOB_STATE_RUNNING", "JOB_STATE_CANCELLING"):
            self._finish(job, "CANCELLED" if job.cancelled else self.plans(job.number).end)

    def _lines_of(self, body: Body) -> list[Body]:
        (source,) = body["inputConfig"]["gcsSource"]["uris"]
        return [json.loads(line) for line in self.blobs[source].data.splitlines() if line]

    def _finish(self, job: StoredJob, end: str) -> None:
        plan, values = self.plans(job.number), job.values
        values["state"] = f"JOB_STATE_{end}"
        if end == "FAILED":
            values["error"] = {"code": 3, "message": "refused"}
            return
        lines = job.lines
        tried = len(lines) if plan.answered is None else plan.answered
        told: list[str] = []
        done = failed = 0
        for number, line in enumerate(lines[:tried]):
            given = {"status": "", "processed_time": "2026-11-25T12:10:00.000+00:00", "request": line["request"]}
            if number in plan.refused | plan.failing:
                reason = "Bad Request: refused" if number in plan.refused else "Internal: failed"
                given |= {"status": reason, "response": {}}
                failed += 1
            else:
                given["response"] = self._answer(line["request"], values["model"])
                done += 1
                if number in plan.no_usage:
                    del given["response"]["usageMetadata"]
            if number not in plan.left_out:
                told.append(json.dumps(given))
        told.reverse()
        folder = f"{values['outputConfig']['gcsDestination']['outputUriPrefix']}/prediction-model-{job.number}"
        self.blobs[f"{folder}/predictions.jsonl"] = Uploaded("", ("\n".join(told) + "\n").encode())
        values["outputInfo"] = {"gcsOutputDirectory": folder}
        left = len(lines) - tried
        values["completionStats"] = {"successfulCount": done, "failedCount": failed, "incompleteCount": left}

    def _answer(self, request: Body, model: str) -> Body:
        contents = [*request["contents"], request.get("systemInstruction", {"parts": []})]
        given = sum(count_tokens(part["text"]) for one in contents for part in one["parts"]) + 3
        text, was_cut = cut_to_tokens(self.behaviour(request), request["generationConfig"]["maxOutputTokens"])
        spoken = count_tokens(text)
        name = model.rpartition("/")[2]
        price = price_nano_usd(half(self.tariffs.get(name, FREE)), given, spoken, 0)
        index = len(self.invoice)
        self.requests.append(request)
        self.invoice.append(
            InvoiceLine(index, f"vertex-batch-{index}", name, given, spoken, 0, price, time.monotonic())
        )
        usage = {"promptTokenCount": given, "candidatesTokenCount": spoken, "totalTokenCount": given + spoken}
        candidate = {
            "content": {"role": "model", "parts": [{"text": text}]},
            "finishReason": "MAX_TOKENS" if was_cut else "STOP",
            "avgLogprobs": -0.1,
        }
        return {
            "candidates": [candidate],
            "usageMetadata": usage,
            "modelVersion": name,
            "responseId": f"vertex-batch-{index}",
        }

    async def _storage(self, request: web.Request, raw: str) -> web.StreamResponse:
        bucket = re.search(r"/b/([^/]+)/o", raw)
        if bucket is None:
            return _error(404, "notFound")
        if raw.startswith("/upload/"):
            return self._upload(bucket[1], await request.read(), request)
        encoded = raw[bucket.end() :].removeprefix("/")
        if not encoded:
            prefix = f"gs://{bucket[1]}/{request.query.get('prefix', '')}"
            names = [name for name in self.blobs if name.startswith(prefix)]
            return web.json_response({"kind": "storage#objects", "items": [self._object(name) for name in names]})
        name = f"gs://{bucket[1]}/{unquote(encoded)}"
        if name not in self.blobs:
            return _error(404, "notFound")
        if request.method == "DELETE":
            del self.blobs[name]
            return web.Response(status=204)
        if request.query.get("alt") == "media":
            return web.Response(body=self.blobs[name].data, content_type="application/octet-stream")
        return web.json_response(self._object(name))

    def _upload(self, bucket: str, body: bytes, request: web.Request) -> web.Response:
        """A multipart/related upload: the object's description, then its bytes."""
        boundary = re.search(r'boundary="?([^";]+)', request.headers["Content-Type"])
        assert boundary is not None
        _, description, content, _ = body.split(b"--" + boundary[1].encode())
        name = json.loads(description.partition(b"\r\n\r\n")[2])["name"]
        data = content.partition(b"\r\n\r\n")[2].removesuffix(b"\r\n")
        self.blobs[f"gs://{bucket}/{name}"] = Uploaded(name, data)
        return web.json_response(self._object(f"gs://{bucket}/{name}"))

    def _object(self, name: str) -> Body:
        stored = self.blobs[name]
        bucket, _, path = name.removeprefix("gs://").partition("/")
        return {
            "kind": "storage#object",
            "bucket": bucket,
            "name": path,
            "size": str(len(stored.data)),
            "generation": str(stored.tag),
        }


def _error(status: int, reason: str) -> web.Response:
    return web.json_response({"error": {"code": status, "message": "refused", "status": reason}}, status=status)
