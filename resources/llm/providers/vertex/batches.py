"""Vertex AI's batch prediction: a file of requests in Cloud Storage, a job over it, results beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, TypeVar

from domain.errors import ConfigurationError, FaultClass, ProviderError
from resources.llm.batch_api import BatchLimits, JobStatus, LineResult, TokenBounds
from resources.llm.providers.http1_connection import MAX_BODY_BYTES
from resources.llm.providers.vertex.names import Target
from resources.llm.providers.vertex.options import VertexOptions
from resources.llm.types import Request

if TYPE_CHECKING:
    from google.auth.credentials import Credentials

    from resources.llm.providers.vertex.batch_session import BatchSession

Result = TypeVar("Result")


class VertexBatches:
    """Batch prediction in one project and location. Google's libraries load with the first step that needs them.

    Args:
        credentials: instead of the machine's application default credentials. Plain `http://` is reached without.

    Raises:
        ConfigurationError: no folder for the files is set.
    """

    def __init__(self, target: Target, options: VertexOptions, credentials: Credentials | None) -> None:
        if options.batch_folder is None:
            raise ConfigurationError(
                "batch prediction needs a folder in Cloud Storage",
                field="endpoints.vertex.options.batch_folder",
                mend="set it to gs://bucket/folder; Vertex AI's service agent must be able to read and write there.",
            )
        self._folder = options.batch_folder.rstrip("/")
        self._target = target
        self._options = options
        self._credentials = credentials
        self._opening = asyncio.Lock()
        self._session: BatchSession | None = None

    @property
    def limits(self) -> BatchLimits:
        """What one job takes."""
        return BatchLimits(self._options.batch_requests, self._options.batch_bytes, MAX_BODY_BYTES)

    def line(self, custom_id: str, request: Request) -> bytes:
        """The request of a single call, tagged by a label that comes back with the answer.

        Raises:
            ProviderError: INVALID_REQUEST, never sent.
        """
        from resources.llm.providers.vertex.batch_lines import request_line

        return request_line(custom_id, request)

    async def upload(self, job: str, data: bytes) -> str:
        """Store the requests in the folder."""
        file = f"{self._folder}/{job}/requests.jsonl"
        await self._step(lambda session: session.write(file, data))
        return file

    async def find_file(self, job: str) -> str | None:
        """The requests, where they are stored; a file in Cloud Storage is there whole or not at all."""
        file = f"{self._folder}/{job}/requests.jsonl"
        return file if await self._step(lambda session: session.exists(file)) else None

    async def create(self, job: str, file: str, model: str) -> JobStatus:
        """Begin the job."""
        results = f"{self._folder}/{job}/results"
        return await self._step(lambda session: session.create(job, file, results, model))

    async def find(self, job: str, since: float) -> JobStatus | None:  # noqa: ARG002 - the label is found at any age
        """List the jobs with our label."""
        return await self._step(lambda session: session.find(job))

    async def statuses(self, ids: Collection[str]) -> dict[str, JobStatus]:
        """Few one by one, many by listing."""
        return await self._step(lambda session: session.statuses(set(ids)))

    async def results(self, status: JobStatus, bounds: Mapping[str, TokenBounds]) -> list[LineResult]:
        """The lines of the files of predictions."""
        from resources.llm.providers.vertex.batch_lines import parse_lines

        found: list[LineResult] = []
        for folder in status.outputs:
            for data in await self._step(lambda session, folder=folder: session.read_all(folder)):
                found += await asyncio.to_thread(parse_lines, data, bounds)
        return found

    async def cancel(self, provider_id: str) -> None:
        """Ask for the job's end; one that has ended already is left as it is."""
        try:
            await self._step(lambda session: session.cancel(provider_id))
        except ProviderError as error:
            if error.status_code not in (400, 404, 409):
                raise

    async def discard(self, job: str, file: str | None, status: JobStatus | None) -> None:  # noqa: ARG002
        """Remove the job's folder."""
        await self._step(lambda session: session.remove_all(f"{self._folder}/{job}/"))

    async def close(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await asyncio.to_thread(session.close)

    async def _step(self, step: Callable[[BatchSession], Result]) -> Result:
        """Google's REST clients block, so each step has a thread."""
        async with self._opening:
            if self._session is None:
                self._session = await asyncio.to_thread(_open, self._target, self._options, self._credentials)
        return await asyncio.to_thread(_explained, step, self._session)


def _open(target: Target, options: VertexOptions, credentials: Credentials | None) -> BatchSession:
    from resources.llm.providers.vertex.batch_session import open_batch_session  # seconds of importing

    return open_batch_session(target, options, credentials)


def _explained(step: Callable[[BatchSession], Result], session: BatchSession) -> Result:
    """The step's result. Errors are raised outside `except`: Google's quote what was asked."""
    from resources.llm.providers.vertex.batch_session import EXPECTED, as_provider_error

    try:
        return step(session)
    except EXPECTED as error:
        failure = as_provider_error(error)
    raise failure


def unreachable(kind: str, *, timeout: bool, never_sent: bool) -> ProviderError:
    """The error where nothing came back."""
    return ProviderError(
        f"Vertex AI's batch service or Cloud Storage did not answer ({kind})",
        fault=FaultClass.TIMEOUT if timeout else FaultClass.CONNECTION,
        never_sent=never_sent,
    )
