"""What a provider's batch API is asked: hand over a file of requests, find the job again, fetch what came back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from domain.batch.provider_jobs import ProviderCounts
from domain.errors import ConfigurationError, ProviderError
from resources.llm.types import ProviderAnswer, Request


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one job takes. `output_bytes` bounds what it may bring back, so that memory stays bounded."""

    requests: int
    input_bytes: int
    output_bytes: int


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job as the provider tells of it.

    Attributes:
        id: the provider's.
        state: in the provider's own words.
        ended: nothing more will be answered or billed.
        cut_short: it ended before all requests were tried: expired or cancelled.
        failed: it was refused as a whole; nothing was answered.
        outputs: where results lie, by the provider's names.
        problem: why it was refused, as a code.
    """

    id: str
    state: str
    ended: bool
    cut_short: bool = False
    failed: bool = False
    counts: ProviderCounts | None = None
    outputs: tuple[str, ...] = ()
    problem: str | None = None


class TokenBounds(NamedTuple):
    """The most tokens one request of a job can use."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class LineResult:
    """What came back for one request of a job: an answer, or the error that took its place.

    Attributes:
        untried: the job ended before the request was tried.
    """

    custom_id: str
    answer: ProviderAnswer | None = None
    error: ProviderError | None = None
    untried: bool = False


class LookupUnsupportedError(ProviderError):
    """The provider cannot say which jobs exist."""


class BatchApi(Protocol):
    """One endpoint's batch API. Every method that reaches it may raise `ProviderError`."""

    @property
    def limits(self) -> BatchLimits:
        """What one job takes."""
        ...

    def line(self, custom_id: str, request: Request) -> bytes:
        """One request as a line of a job's file, without its end.

        Raises:
            ProviderError: INVALID_REQUEST, never sent; it cannot be said in the provider's format.
        """
        ...

    async def upload(self, job: str, data: bytes) -> str:
        """Store a job's requests; the provider's name for them."""
        ...

    async def find_file(self, job: str) -> str | None:
        """The requests that were stored for the job, if the provider has them."""
        ...

    async def create(self, job: str, file: str, model: str) -> JobStatus:
        """Begin the job, tagged with our id of it."""
        ...

    async def find(self, job: str, since: float) -> JobStatus | None:
        """The job tagged with our id, created after epoch second `since`; None where the provider has none.

        Raises:
            LookupUnsupportedError: it cannot be told.
        """
        ...

    async def statuses(self, ids: Collection[str]) -> dict[str, JobStatus]:
        """Jobs by the provider's id, in few requests; one that the provider does not know is left out."""
        ...

    async def results(self, status: JobStatus, bounds: Mapping[str, TokenBounds]) -> list[LineResult]:
        """What an ended job brought, in no order; requests it tells nothing of are left out.

        Args:
            bounds: by custom id; they stand in where the provider counted no tokens.
        """
        ...

    async def cancel(self, provider_id: str) -> None:
        """Ask for a job's end. What is answered by then is billed."""
        ...

    async def discard(self, job: str, file: str | None, status: JobStatus | None) -> None:
        """Remove a finished job's files at the provider."""
        ...


@runtime_checkable
class HasBatchApi(Protocol):
    """A provider with a batch API."""

    def batch_api(self) -> BatchApi:
        """It; opens nothing yet.

        Raises:
            ConfigurationError: a setting it needs is missing.
        """
        ...


def no_batch_api(model: str) -> ConfigurationError:
    """What is told where rows cannot be handed over."""
    return ConfigurationError(
        f"The endpoint of {model} has no batch API.",
        field="batch.how",
        mend="Ask row by row: `how: direct`. Vertex AI and OpenAI-compatible endpoints with /files and /batches have "
        "one.",
    )
