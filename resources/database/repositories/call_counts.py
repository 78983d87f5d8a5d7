"""How many calls a task made and how many of them a cache answered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from resources.database.tables import CallRow


@dataclass(frozen=True, slots=True)
class CallCounts:
    """Calls, cached ones included; those the cache answered; and those that ended without an answer."""

    calls: int
    cached: int
    failed: int


def count_calls(session: Session, task: str, *, since: datetime | None = None) -> CallCounts:
    """The task's calls that finished from `since` on."""
    query = select(
        func.count(),
        func.sum(case((CallRow.cached, 1), else_=0)),
        func.sum(case((CallRow.status.in_(("ok", "fallback")), 0), else_=1)),
    ).where(CallRow.task == task)
    if since is not None:
        query = query.where(CallRow.finished_at >= since)
    row = session.execute(query).one()
    return CallCounts(*(int(value or 0) for value in row))


def mean_cost_nano_usd(
    session: Session, task: str, prompt_version_id: str, *, since: datetime, most: int
) -> tuple[int, float]:
    """Of the newest `most` answered calls of a prompt version since a time: how many, and what one cost on average.

    Calls that the cache answered are among them, at what they cost: nothing.
    """
    newest = (
        select(CallRow.cost_nano_usd)
        .where(
            CallRow.task == task,
            CallRow.finished_at >= since,
            CallRow.prompt_version_id == prompt_version_id,
            CallRow.status == "ok",
        )
        .order_by(CallRow.finished_at.desc())
        .limit(most)
        .subquery()
    )
    calls, mean = session.execute(select(func.count(), func.avg(newest.c.cost_nano_usd))).one()
    return int(calls), float(mean or 0)
