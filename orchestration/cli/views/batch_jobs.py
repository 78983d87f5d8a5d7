"""Jobs at providers' batch APIs, as they are and as people steer them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from domain.batch.provider_jobs import JobState
from domain.batch.states import BatchState
from domain.identity import short_id
from orchestration.cli.figures import dollars, usd
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.batch_inference import steering
from resources.batch_inference.provider_batches import by_hand
from resources.batch_inference.provider_batches.desk import JobDesk
from resources.database.repositories import batches
from resources.database.repositories.batches import BatchRecord
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.session import Database
from resources.llm import open_client
from resources.storage.location import path_at

MOST_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Words:
    """What is next for a job that was decided: where its batch rests, goes on by itself, or is at its end."""

    rests: str
    goes_on: str
    ended: str


@dataclass(frozen=True, slots=True)
class Decided:
    """A job, and its batch, after the decision. `rests`: the batch goes on only when a person resumes it."""

    job: ProviderJob
    batch: BatchRecord
    rests: bool


def adopted(batch: str, job: str, provider_id: str, as_json: bool) -> None:
    """Take a provider's job for the one that was put aside."""

    async def step(database: Database, desk: JobDesk, now: datetime) -> ProviderJob:
        return await by_hand.adopt(database, desk, batch, job, provider_id, now)

    words = Words(
        f"Let the batch go on: promptory batch resume {batch}",
        "Its batch goes on by itself.",
        "It is cancelled, and booked, with the task's next run.",
    )
    _tell(_at_the_desk(step), words, as_json)


def written_off(batch: str, job: str, as_json: bool) -> None:
    """Give a job up that was put aside, or whose results cannot be fetched."""

    async def step(database: Database, desk: JobDesk, now: datetime) -> ProviderJob:
        return await by_hand.write_off(database, desk, batch, job, now)

    words = Words(
        f"Its rows are asked again: promptory batch resume {batch}",
        "Its rows are asked again when its batch goes on, which it does by itself.",
        "Its batch is at its end: nothing is asked again.",
    )
    _tell(_at_the_desk(step), words, as_json)


def job_values(job: ProviderJob) -> dict[str, Any]:
    """For JSON."""
    return {
        "job": job.id,
        "chunk": job.chunk,
        "round": job.round,
        "state": job.state,
        "provider_job": job.provider_id,
        "provider_state": job.provider_state,
        "counts": job.counts,
        "rows": job.rows,
        "problem": job.problem,
        "at_most_usd": usd(job.reserve_nano_usd),
        "at_most_direct_usd": usd(job.direct_nano_usd),
        "cost_usd": None if job.cost_nano_usd is None else usd(job.cost_nano_usd + (job.lost_nano_usd or 0)),
        "created_at": job.created_at.isoformat(),
        "looked_at": job.seen_at.isoformat() if job.seen_at else None,
    }


def job_table(jobs: Sequence[ProviderJob]) -> Table:
    """For people; unfinished ones first."""
    ordered = sorted(jobs, key=lambda job: job.state == JobState.CLOSED)[:MOST_SHOWN]
    columns = ["job", "state", "at the provider", "done", "rows", "cost", "at most", "directly", "looked at"]
    more = "" if len(jobs) <= MOST_SHOWN else f" ({MOST_SHOWN} of {len(jobs):,})"
    right = ("rows", "cost", "at most", "directly")
    return table(f"Jobs at the provider{more}", columns, [_line(job) for job in ordered], right=right)


def _line(job: ProviderJob) -> list[object]:
    counts = job.counts or {}
    cost = "" if job.cost_nano_usd is None else dollars(job.cost_nano_usd + (job.lost_nano_usd or 0))
    told = " ".join(part for part in (job.provider_id, job.provider_state) if part)
    return [
        short_id(job.id),
        job.state if not job.problem else f"{job.state}: {job.problem}",
        told,
        f"{counts['completed']:,} ok, {counts['failed']:,} failed" if counts else "",
        f"{job.rows:,}",
        cost,
        dollars(job.reserve_nano_usd),
        dollars(job.direct_nano_usd),
        f"{job.seen_at:%Y-%m-%d %H:%M}" if job.seen_at else "",
    ]


def _at_the_desk(
    step: Callable[[Database, JobDesk, datetime], Awaitable[ProviderJob]],
) -> Decided:
    environment = Environment.read()

    async def work(database: Database) -> ProviderJob:
        async with open_client(environment.core_settings()) as client:
            root = path_at(environment.storage_root)
            desk = JobDesk(database, root, client.provider_batches, lambda: datetime.now(UTC))
            return await step(database, desk, datetime.now(UTC))

    with current_database(environment) as database:
        job = asyncio.run(work(database))
        with database.session(read_only=True) as session:
            batch = batches.get(session, job.batch_id)
            return Decided(job, batch, steering.may_be_resumed(session, batch))


def _tell(decided: Decided, words: Words, as_json: bool) -> None:
    is_final = BatchState(decided.batch.state).is_final
    then = words.ended if is_final else words.rests if decided.rests else words.goes_on

    def show(console: Console) -> None:
        console.print(f"Provider job {short_id(decided.job.id)} is {decided.job.state}.")
        console.print(then, style="dim")

    emit(as_json, job_values(decided.job), show)
