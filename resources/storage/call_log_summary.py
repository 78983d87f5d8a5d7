"""What a day of the ledger amounts to, counted by the database."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from domain.batch.provider_jobs import PROVIDER_BATCH_PURPOSE
from resources.database.repositories.spending import totals
from resources.database.tables import CallRow

SPENDING_LINES = 10


@dataclass(frozen=True, slots=True)
class SpendingLine:
    """The calls of one task, purpose and requested model, and what they were charged."""

    task: str | None
    purpose: str
    model: str
    calls: int
    cost_nano_usd: int


@dataclass(frozen=True, slots=True)
class DaySummary:
    """Counts of one UTC day.

    Attributes:
        cost_nano_usd: charged by the day's attempts, ambiguous ones included.
        ambiguous_nano_usd: the part of it that nobody is certain of.
        answered: calls with status `ok`; `cache_hits` of them came from the cache.
        latency_p50_s: nearest rank over answered calls that were neither cached nor made by a provider's batch job,
            whose latency is the job's; None on a day without any.
        spending: the dearest task x purpose x model, at most `SPENDING_LINES`.
    """

    cost_nano_usd: int
    ambiguous_nano_usd: int
    answered: int
    cache_hits: int
    latency_p50_s: float | None
    latency_p95_s: float | None
    spending: tuple[SpendingLine, ...]

    @property
    def cache_hit_rate(self) -> float | None:
        """Hits per answered call; None where nothing was answered."""
        return self.cache_hits / self.answered if self.answered else None


def summarize(session: Session, start: datetime, end: datetime) -> DaySummary:
    """The calls and attempts that finished in [start, end)."""
    money = totals(session, since=start, until=end)
    answered = (CallRow.finished_at >= start, CallRow.finished_at < end, CallRow.status == "ok")
    fresh = (*answered, CallRow.cached.is_(False))
    waited_for = (*fresh, CallRow.purpose != PROVIDER_BATCH_PURPOSE)
    hits = _count(session, *answered, CallRow.cached.is_(True))
    timed_calls = _count(session, *waited_for)
    return DaySummary(
        cost_nano_usd=money.spent_nano_usd + money.ambiguous_nano_usd,
        ambiguous_nano_usd=money.ambiguous_nano_usd,
        answered=hits + _count(session, *fresh),
        cache_hits=hits,
        latency_p50_s=_latency(session, 0.50, timed_calls, *waited_for),
        latency_p95_s=_latency(session, 0.95, timed_calls, *waited_for),
        spending=_spending(session, start, end),
    )


def _count(session: Session, *conditions: ColumnElement[bool]) -> int:
    return session.execute(select(func.count()).select_from(CallRow).where(*conditions)).scalar_one()


def _latency(session: Session, share: float, calls: int, *conditions: ColumnElement[bool]) -> float | None:
    """The database sorts: this process never holds a day's latencies."""
    if not calls:
        return None
    rank = math.ceil(share * calls) - 1
    ranked = select(CallRow.latency_s).where(*conditions).order_by(CallRow.latency_s).offset(rank).limit(1)
    return session.execute(ranked).scalar_one()


def _spending(session: Session, start: datetime, end: datetime) -> tuple[SpendingLine, ...]:
    key = (CallRow.task, CallRow.purpose, CallRow.requested_model)
    cost = func.sum(CallRow.cost_nano_usd)
    query = (
        select(*key, func.count(), cost)
        .where(CallRow.finished_at >= start, CallRow.finished_at < end)
        .group_by(*key)
        .order_by(cost.desc(), *key)
        .limit(SPENDING_LINES)
    )
    return tuple(
        SpendingLine(task, purpose, model, calls, int(charged))
        for task, purpose, model, calls, charged in session.execute(query)
    )
