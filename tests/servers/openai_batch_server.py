"""A loopback provider with OpenAI's `/files` and `/batches` beside chat completions, billing batches at half price.

A job moves one state on whenever anybody looks at it, so that nothing is finished at once and no test waits. How it
ends is told by `plans`, by the job's number.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from aiohttp import BodyPartReader, web
from servers.billing import InvoiceLine, Tariff, count_input, count_tokens, cut_to_tokens, price_nano_usd
from servers.openai_server import FREE, Answer, Behaviour, Body, OpenAIServer

MOST_REQUESTS = 50_000
End = Literal["completed", "expired", "cancelled", "failed"]


@dataclass(frozen=True)
class JobPlan:
    """How one job goes.

    Attributes:
        end: the state it ends in.
        answered: how many of its requests are tried, in their order; None: all.
        statuses: HTTP status by line number (0-based) of requests that fail.
        left_out: line numbers of requests that were answered and billed, and of which nothing is told.
        no_usage: line numbers whose answers lack `usage`.
        code: of the error of a failed job.
        stays: it never gets beyond this state.
    """

    end: End = "completed"
    answered: int | None = None
    statuses: Mapping[int, int] = field(default_factory=dict)
    left_out: frozenset[int] = frozenset()
    no_usage: frozenset[int] = frozenset()
    code: str = "model_not_found"
    stays: str | None = None


@dataclass
class StoredFile:
    id: str
    filename: str
    purpose: str
    data: bytes
    created_at: int


@dataclass
class Job:
    number: int
    id: str
    values: Body
    lines: list[Body]


class OpenAIBatchServer(OpenAIServer):
    """The provider.

    Args:
        plans: from a job's number (0-based) to how it goes.
    """

    def __init__(
        self,
        behaviour: Behaviour = lambda _body: "ok",
        tariffs: Mapping[str, Tariff] | None = None,
        plans: Callable[[int], JobPlan] = lambda _number: JobPlan(),
        **more: Any,
    ) -> None:
        super().__init__(behaviour, tariffs, **more)
        self.plans = plans
        self.files: dict[str, StoredFile] = {}
        self.jobs: dict[str, Job] = {}
        self.log: list[str] = []
        self.drop_metadata = False
        self.lists_jobs = True
        self.page = 100
        self.delay_s = 0.0
        self.refuse: str | None = None  # a request line that is answered 500, and not obeyed
        self.cut: str | None = None  # a request line that is obeyed, and whose answer is lost
        self.garble: str | None = None  # a request line that is obeyed, and whose answer cannot be read
        self.files_are_missing = False
        self._numbers = 0
        self._job_numbers = 0

    @property
    def batch_bodies(self) -> list[Body]:
        """The bodies of all requests of all jobs, in the order in which they came."""
        return [line["body"] for job in self.jobs.values() for line in job.lines]

    def asked_in_jobs(self) -> int:
        """Requests handed over in jobs."""
        return sum(len(job.lines) for job in self.jobs.values())

    def add_routes(self, application: web.Application) -> None:
        super().add_routes(application)
        router = application.router
        for method, path, handler in (
            ("POST", "/v1/files", self._upload),
            ("GET", "/v1/files", self._list_files),
            ("GET", "/v1/files/{id}", self._get_file),
            ("GET", "/v1/files/{id}/content", self._content),
            ("DELETE", "/v1/files/{id}", self._delete_file),
            ("POST", "/v1/batches", self._create),
            ("GET", "/v1/batches", self._list),
            ("GET", "/v1/batches/{id}", self._get),
            ("POST", "/v1/batches/{id}/cancel", self._cancel),
        ):
            router.add_route(method, path, self._guarded(handler))

    def _guarded(self, handler: Callable[[web.Request], Any]) -> Callable[[web.Request], Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            line = f"{request.method} {request.path}"
            self.log.append(line)
            if not self._authorized(request):
                return _error(401, "invalid_api_key")
            await asyncio.sleep(self.delay_s)
            if line == self.refuse:
                return _error(500, "server_error")
            if self.files_are_missing:
                return _error(404, "not_found")
            response = await handler(request)
            await asyncio.sleep(self.delay_s)
            if line == self.garble:
                return web.Response(body=b"<html>", content_type="application/json")
            if line == self.cut and request.transport is not None:
                request.transport.close()
            return response

        return handle

    async def _upload(self, request: web.Request) -> web.Response:
        reader = await request.multipart()
        purpose, name, data = "", "", b""
        while (part := await reader.next()) is not None:
            assert isinstance(part, BodyPartReader)
            if part.name == "purpose":
                purpose = (await part.read()).decode()
            elif part.name == "file":
                name, data = part.filename or "", bytes(await part.read())
        if not purpose or not name:
            return _error(400, "missing_required_parameter")
        stored = self._store(name, purpose, data)
        return web.json_response(_file_object(stored))

    async def _list_files(self, request: web.Request) -> web.Response:
        wanted = [one for one in reversed(self.files.values()) if request.query.get("purpose") in (None, one.purpose)]
        return self._paged(request, [_file_object(one) for one in wanted])

    async def _get_file(self, request: web.Request) -> web.Response:
        stored = self.files.get(request.match_info["id"])
        return _error(404, "not_found") if stored is None else web.json_response(_file_object(stored))

    async def _content(self, request: web.Request) -> web.Response:
        stored = self.files.get(request.match_info["id"])
        if stored is None:
            return _error(404, "not_found")
        return web.Response(body=stored.data, content_type="application/octet-stream")

    async def _delete_file(self, request: web.Request) -> web.Response:
        file_id = request.match_info["id"]
        if self.files.pop(file_id, None) is None:
            return _error(404, "not_found")
        return web.json_response({"id": file_id, "object": "file", "deleted": True})

    async def _create(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        stored = self.files.get(body.get("input_file_id", ""))
        if stored is None or stored.purpose != "batch":
            return _error(400, "invalid_input_file")
        if body.get("endpoint") != "/v1/chat/completions" or body.get("completion_window") != "24h":
            return _error(400, "invalid_request")
        lines = [json.loads(line) for line in stored.data.splitlines() if line]
        with self._lock:
            number, self._job_numbers = self._job_numbers, self._job_numbers + 1
        now = int(time.time())
        values: Body = {
            "id": f"batch_{number:06d}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "errors": None,
            "input_file_id": stored.id,
            "completion_window": body["completion_window"],
            "status": "validating",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": now,
            "expires_at": now + 86_400,
            "request_counts": {"total": 0, "completed": 0, "failed": 0},
            "metadata": None if self.drop_metadata else body.get("metadata"),
        }
        self.jobs[values["id"]] = Job(number, values["id"], values, lines)
        return web.json_response(values)

    async def _list(self, request: web.Request) -> web.Response:
        if not self.lists_jobs:
            return _error(404, "not_found")
        page = self._paged(request, [job.values for job in reversed(self.jobs.values())])
        for job in self.jobs.values():
            self._step(job)
        return page

    async def _get(self, request: web.Request) -> web.Response:
        job = self.jobs.get(request.match_info["id"])
        if job is None:
            return _error(404, "not_found")
        told = web.json_response(job.values)
        self._step(job)
        return told

    async def _cancel(self, request: web.Request) -> web.Response:
        job = self.jobs.get(request.match_info["id"])
        if job is None:
            return _error(404, "not_found")
        if job.values["status"] not in ("validating", "in_progress"):
            return _error(409, "conflict")
        job.values["status"] = "cancelling"
        return web.json_response(job.values)

    def _step(self, job: Job) -> None:
        """One state on."""
        plan, values = self.plans(job.number), job.values
        if plan.stays == values["status"]:
            return
        if values["status"] == "validating":
            codes = _invalid(job.lines)
            if plan.end == "failed" or codes:
                data = [
                    {"code": code, "message": "refused", "line": None, "param": None} for code in codes or [plan.code]
                ]
                values |= {"status": "failed", "errors": {"object": "list", "data": data}}
            else:
                values["status"] = "in_progress"
                values["request_counts"] = {"total": len(job.lines), "completed": 0, "failed": 0}
        elif values["status"] == "in_progress":
            values["status"] = "finalizing"
        elif values["status"] == "finalizing":
            self._finish(job, plan, plan.end)
        elif values["status"] == "cancelling":
            self._finish(job, plan, "cancelled")

    def _finish(self, job: Job, plan: JobPlan, end: str) -> None:
        tried = len(job.lines) if plan.answered is None else plan.answered
        outputs: list[Body] = []
        errors: list[Body] = []
        completed = failed = 0
        for number, line in enumerate(job.lines):
            status = plan.statuses.get(number)
            if number >= tried:
                code = "batch_expired" if end == "expired" else "batch_cancelled"
                problem = {"code": code, "message": "not tried"}
                errors.append(_line(line, None, problem))
                failed += 1
            elif status is not None:
                body = {"error": {"message": "refused", "type": None, "code": None}}
                errors.append(_line(line, {"status_code": status, "request_id": "r", "body": body}, None))
                failed += 1
            else:
                completion = self._answer_line(line, plan, number)
                completed += 1
                if number not in plan.left_out:
                    outputs.append(_line(line, {"status_code": 200, "request_id": "r", "body": completion}, None))
        outputs.reverse()  # results come in no order
        values = job.values
        values["status"] = end
        values["request_counts"] = {"total": len(job.lines), "completed": completed, "failed": failed}
        for name, lines in (("output_file_id", outputs), ("error_file_id", errors)):
            if lines:
                data = "".join(json.dumps(line) + "\n" for line in lines).encode()
                values[name] = self._store(f"{job.id}_{name}.jsonl", "batch_output", data).id

    def _answer_line(self, line: Body, plan: JobPlan, number: int) -> Body:
        body = line["body"]
        answer = self.behaviour(body)
        answer = Answer(answer) if isinstance(answer, str) else answer
        text, was_cut = cut_to_tokens(answer.text, body.get("max_tokens", body.get("max_completion_tokens", 4096)))
        model, given, spoken = str(body["model"]), count_input(body), count_tokens(text)
        price = price_nano_usd(half(self.tariffs.get(model, FREE)), given, spoken, 0)
        with self._lock:
            index = len(self.invoice)
            self.invoice.append(
                InvoiceLine(index, f"batch-{line['custom_id']}", model, given, spoken, 0, price, time.monotonic())
            )
        completion: Body = {
            "id": f"chatcmpl-batch-{index}",
            "object": "chat.completion",
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": text},
                    "finish_reason": "length" if was_cut else "stop",
                }
            ],
            "usage": {"prompt_tokens": given, "completion_tokens": spoken, "total_tokens": given + spoken},
        }
        if number in plan.no_usage:
            del completion["usage"]
        return completion

    def _store(self, name: str, purpose: str, data: bytes) -> StoredFile:
        with self._lock:
            number, self._numbers = self._numbers, self._numbers + 1
        stored = StoredFile(f"file-{number:06d}", name, purpose, data, int(time.time()))
        self.files[stored.id] = stored
        return stored

    def _paged(self, request: web.Request, entries: list[Body]) -> web.Response:
        limit = min(int(request.query.get("limit", "20")), self.page)
        after = request.query.get("after")
        start = next((place + 1 for place, one in enumerate(entries) if one["id"] == after), 0)
        shown = entries[start : start + limit]
        return web.json_response({"object": "list", "data": shown, "has_more": start + limit < len(entries)})


def half(tariff: Tariff) -> Tariff:
    """The tariff of the batch API."""
    input_rate, output_rate = (str(Decimal(rate) / 2) for rate in (tariff.input_per_million, tariff.output_per_million))
    return Tariff(input_rate, output_rate)


def _invalid(lines: list[Body]) -> list[str]:
    ids = [line.get("custom_id") for line in lines]
    codes = []
    if not lines:
        codes.append("empty_file")
    if len(lines) > MOST_REQUESTS:
        codes.append("too_many_tasks")
    if len(set(ids)) != len(ids) or None in ids:
        codes.append("duplicate_custom_id")
    if any(line.get("method") != "POST" or line.get("url") != "/v1/chat/completions" for line in lines):
        codes.append("mismatched_endpoint")
    return codes


def _line(line: Body, response: Body | None, error: Body | None) -> Body:
    return {
        "id": f"batch_req_{line['custom_id']}",
        "custom_id": line["custom_id"],
        "response": response,
        "error": error,
    }


def _file_object(stored: StoredFile) -> Body:
    return {
        "id": stored.id,
        "object": "file",
        "bytes": len(stored.data),
        "created_at": stored.created_at,
        "filename": stored.filename,
        "purpose": stored.purpose,
        "status": "processed",
    }


def _error(status: int, code: str) -> web.Response:
    return web.json_response({"error": {"message": "refused", "type": None, "code": code}}, status=status)
