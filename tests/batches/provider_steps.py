"""What tests of provider batches do again and again: hand rows over, run to the end, look at jobs and money."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from batches.conftest import NOW, Floor, write_csv
from sqlalchemy import update

from resources.batch_inference.provider_batches.polling import Polled, poll
from resources.database.repositories import provider_jobs, spending
from resources.database.tables import ProviderJobRow
from resources.llm import open_client
from resources.llm.endpoints import Endpoints


def add(hall: Floor, rows: int, **changes: Any):
    path = write_csv(hall.folder / "in.csv", range(rows))
    return hall.add(path, **{"how": "provider", "chunk_rows": 20, **changes}).record


def jobs_of(hall: Floor, batch_id: str):
    with hall.database.session(read_only=True) as session:
        return provider_jobs.of_batch(session, batch_id)


def run_to_the_end(hall: Floor, batch_id: str, **settings: Any):
    """As runs that are asked for whenever a job has ended; the states the batch was in."""
    seen = []
    for _ in range(20):
        record = hall.run(batch_id, hall.settings(**settings), grace_s=0.0)
        seen.append(record.state)
        if record.state != "waiting":
            return record, seen
    raise AssertionError(seen)


async def poll_once(hall: Floor, now: datetime) -> Polled:
    """As the sensor's look at all jobs, none of which was looked at lately."""
    endpoints = Endpoints(hall.settings().endpoints, None)
    with hall.database.session() as session:
        session.execute(update(ProviderJobRow).values(seen_at=None, changed_at=NOW))
    polled = await poll(hall.database, endpoints, now)
    await endpoints.close()
    return polled


def charged(hall: Floor):
    with hall.database.session(read_only=True) as session:
        return spending.totals(session)


async def scopes_of(hall: Floor):
    async with open_client(hall.settings()) as client:
        return {one.scope: one for one in await client.budgets()}


class Clock:
    """The time, as far on as a test says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead
