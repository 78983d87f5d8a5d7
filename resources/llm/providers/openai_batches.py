"""`/files` and `/batches` of an OpenAI-compatible endpoint."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any
from urllib.parse import quote

import orjson

from domain.errors import ConfigurationError, FaultClass, ProviderError
from resources.llm.batch_api import BatchLimits, JobStatus, LineResult, LookupUnsupportedError, TokenBounds
from resources.llm.providers.http1_client import Http1Client, HttpFailure
from resources.llm.providers.http1_connection import MAX_BODY_BYTES, Reply
from resources.llm.providers.http_faults import status_error
from resources.llm.providers.openai_batch_lines import file_name, parse_lines, request_line, status_of
from resources.llm.providers.openai_options import OpenAIOptions
from resources.llm.providers.provider_json import read_json
from resources.llm.types import Request

TAG = "promptory_job"
ENDPOINT = "/v1/chat/completions"
PAGE = 100
MOST_SINGLE_LOOKS = 3
CLOCK_SKEW_S = 600.0
TRANSFER_TIMEOUT_S = 600.0
_ABSENT = (404, 405, 501)


class OpenAIBatches:
    """One endpoint's batch API. Belongs to the event loop of its first request.

    Args:
        headers: as for chat completions.
        timeout_s: of short exchanges; files get `TRANSFER_TIMEOUT_S`.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str], options: OpenAIOptions, timeout_s: float) -> None:
        boundary = f"promptory-{uuid.uuid4().hex}"
        self._boundary = boundary.encode()
        self._options = options
        self._timeout_s = timeout_s
        self._json = Http1Client(base_url, headers, 8)
        multipart = {**headers, "Content-Type": f"multipart/form-data; boundary={boundary}"}
        self._upload = Http1Client(base_url, multipart, 2)

    @property
    def limits(self) -> BatchLimits:
        """What one job takes."""
        return BatchLimits(self._options.batch_requests, self._options.batch_bytes, MAX_BODY_BYTES)

    def line(self, custom_id: str, request: Request) -> bytes:
        """The request with the very body that a single call sends.

        Raises:
            ProviderError: INVALID_REQUEST, never sent.
        """
        return request_line(custom_id, request, self._options.max_tokens_field, ENDPOINT)

    async def upload(self, job: str, data: bytes) -> str:
        """Upload the file.

        Raises:
            ConfigurationError: the endpoint has no files.
            ProviderError: it was not stored, or nobody knows.
        """
        body = b"".join(
            (
                b'--%b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n' % self._boundary,
                b'--%b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n'
                % (self._boundary, file_name(job).encode()),
                b"Content-Type: application/jsonl\r\n\r\n",
                data,
                b"\r\n--%b--\r\n" % self._boundary,
            )
        )
        try:
            stored = _json(await self._exchange(self._upload, "POST", "/files", body, TRANSFER_TIMEOUT_S))
        except ProviderError as error:
            if error.status_code in _ABSENT:
                raise ConfigurationError(
                    f"The endpoint has no batch API: it answered HTTP {error.status_code} to an upload to /files.",
                    field="batch.how",
                    mend="Ask row by row: `how: direct`; or check the endpoint's base_url.",
                ) from None
            raise
        return _text(stored, "id")

    async def find_file(self, job: str) -> str | None:
        """The file of the job's name, where the endpoint lists it."""
        try:
            async for stored in self._pages("/files", "&purpose=batch"):
                if stored.get("filename") == file_name(job):
                    return _text(stored, "id")
        except ProviderError as error:
            if error.status_code not in _ABSENT:
                raise
        return None

    async def create(self, job: str, file: str, model: str) -> JobStatus:  # noqa: ARG002 - each line names its model
        """Begin the job."""
        body = {
            "input_file_id": file,
            "endpoint": ENDPOINT,
            "completion_window": self._options.batch_window,
            "metadata": {TAG: job},
        }
        return status_of(_json(await self._short("POST", "/batches", orjson.dumps(body))))

    async def find(self, job: str, since: float) -> JobStatus | None:
        """Look through the jobs, newest first, down to those that are older than ours.

        Raises:
            LookupUnsupportedError: the endpoint lists none, or keeps no metadata.
        """
        problem = "the endpoint's settings say that it does not list jobs by their metadata"
        if self._options.batch_lookup:
            try:
                return await self._tagged(job, since - CLOCK_SKEW_S)
            except ProviderError as error:
                if error.status_code not in _ABSENT:
                    raise
                problem = "the endpoint lists no jobs"
        raise LookupUnsupportedError(problem, fault=FaultClass.INVALID_REQUEST, never_sent=True)

    async def statuses(self, ids: Collection[str]) -> dict[str, JobStatus]:
        """Few one by one, many by listing."""
        wanted = set(ids)
        found: dict[str, JobStatus] = {}
        if len(wanted) > MOST_SINGLE_LOOKS and self._options.batch_lookup:
            async for told in self._pages("/batches", most=2 + len(wanted) // PAGE):
                if told.get("id") in wanted:
                    status = status_of(told)
                    found[status.id] = status
                    if len(found) == len(wanted):
                        return found
        for provider_id in sorted(wanted - found.keys()):
            try:
                found[provider_id] = status_of(_json(await self._short("GET", f"/batches/{quote(provider_id)}")))
            except ProviderError as error:
                if error.status_code != 404:
                    raise
        return found

    async def results(self, status: JobStatus, bounds: Mapping[str, TokenBounds]) -> list[LineResult]:
        """The lines of the output file and of the error file."""
        found: list[LineResult] = []
        for file in status.outputs:
            reply = await self._exchange(self._json, "GET", f"/files/{quote(file)}/content", None, TRANSFER_TIMEOUT_S)
            found += parse_lines(reply.body, bounds)
        return found

    async def cancel(self, provider_id: str) -> None:
        """Ask for the job's end; one that has ended already is left as it is."""
        try:
            await self._short("POST", f"/batches/{quote(provider_id)}/cancel", b"{}")
        except ProviderError as error:
            if error.status_code not in (400, 404, 409):
                raise

    async def discard(self, job: str, file: str | None, status: JobStatus | None) -> None:  # noqa: ARG002
        """Delete the requests and the results, those that are there still."""
        for name in (file, *(status.outputs if status else ())):
            if name is None:
                continue
            try:
                await self._short("DELETE", f"/files/{quote(name)}")
            except ProviderError as error:
                if error.status_code not in _ABSENT:
                    raise

    async def close(self) -> None:
        """Close every connection."""
        await self._json.close()
        await self._upload.close()

    async def _tagged(self, job: str, since: float) -> JobStatus | None:
        async for found in self._pages("/batches"):
            if (found.get("metadata") or {}).get(TAG) == job:
                return status_of(found)
            if _number(found.get("created_at")) < since:
                break
        return None

    async def _pages(self, path: str, query: str = "", most: int = 1000) -> AsyncIterator[dict[str, Any]]:
        after = ""
        for _ in range(most):
            page = _json(await self._short("GET", f"{path}?limit={PAGE}{query}{after}"))
            entries = page.get("data")
            if not isinstance(entries, list):
                raise _malformed()
            for entry in entries:
                yield entry
            if not page.get("has_more") or not entries:
                return
            after = f"&after={quote(_text(entries[-1], 'id'))}"

    async def _short(self, method: str, path: str, body: bytes | None = None) -> Reply:
        return await self._exchange(self._json, method, path, body, self._timeout_s)

    async def _exchange(
        self, client: Http1Client, method: str, path: str, body: bytes | None, timeout_s: float
    ) -> Reply:
        try:
            reply = await client.request(method, path, body, timeout_s=timeout_s)
        except HttpFailure as failure:
            raise ProviderError(
                f"the batch API did not answer {method} ({failure.kind})",
                fault=FaultClass.TIMEOUT if failure.timeout else FaultClass.CONNECTION,
                never_sent=failure.never_sent,
            ) from None
        if not 200 <= reply.status < 300:
            raise status_error(reply.status, reply.headers, reply.body, time.time())
        return reply


def _json(reply: Reply) -> dict[str, Any]:
    try:
        parsed = read_json(reply.body)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise _malformed()
    return parsed


def _text(values: Any, name: str) -> str:
    value = values.get(name) if isinstance(values, dict) else None
    if not isinstance(value, str) or not value:
        raise _malformed()
    return value


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else float("inf")


def _malformed() -> ProviderError:
    return ProviderError("the batch API's answer is not what it should be", fault=FaultClass.MALFORMED, status_code=200)
