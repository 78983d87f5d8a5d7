"""Recording outcomes: what is new, what is repeated, what contradicts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.orm import Session

from domain.errors import InputError
from domain.experiment.allocation import check_unit_id
from domain.experiment.spec import Metric
from resources.database.repositories import outcomes
from resources.database.repositories.outcomes import OutcomeRecord


@dataclass(slots=True)
class Recorded:
    """What became of outcomes that were handed in; `conflicts` by key: the value that stands, the one refused."""

    new: int = 0
    repeated: int = 0
    conflicts: dict[str, tuple[float, float]] = field(default_factory=dict)


def outcome_key(unit_id: str, call_id: str | None) -> str:
    """What an outcome belongs to: one answer where a call is named, else the unit."""
    return f"call:{call_id}" if call_id else f"unit:{unit_id}"


def check_outcome(metric: Metric, unit_id: str, value: float, at: datetime, now: datetime) -> None:
    """Return only if the outcome can be one of this metric.

    Raises:
        InputError: naming the field.
    """
    check_unit_id(unit_id)
    if not 0 <= value <= 1:
        raise InputError(f"{value} is not between 0 and 1", field="value", mend="scale outcomes to 0 to 1.")
    if metric.kind == "binary" and value not in (0, 1):
        raise InputError(
            f"{value} is neither 0 nor 1, and the metric is binary", field="value", mend="set metric.kind to share."
        )
    if at.tzinfo is None:
        raise InputError(f"{at.isoformat()} has no time zone", field="at", mend="add Z or an offset.")
    if at > now:
        raise InputError(f"{at.isoformat()} lies in the future", field="at", mend="correct the clock that wrote it.")


def record_outcomes(session: Session, records: Sequence[OutcomeRecord]) -> Recorded:
    """Store outcomes of one experiment; each key at most once among them.

    The first outcome recorded for a unit (or call) stands. The same value again changes nothing; another value is
    refused and told: a process that looks at results again and again must not see its past changed.
    """
    if not records:
        return Recorded()
    new = outcomes.put_many(session, records)
    stands = outcomes.values_of(session, records[0].experiment, [record.key for record in records])
    conflicts = {one.key: (stands[one.key], one.value) for one in records if stands[one.key] != one.value}
    return Recorded(new, len(records) - new - len(conflicts), conflicts)
