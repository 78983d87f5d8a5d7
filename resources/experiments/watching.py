"""Which reports are due because something new came, and which recorded winners are to be promoted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from domain.identity import content_id
from resources.database.repositories import experiments, gate_decisions, interactions, outcomes
from resources.database.repositories.experiments import ExperimentRecord
from resources.database.session import Database

REFRESH = timedelta(minutes=10)
"""So often at most an experiment under traffic is reported on; a change of state is reported on at once."""

AFTERWARDS = timedelta(days=2)


@dataclass(slots=True)
class Cursor:
    """What was asked for: by experiment the state of things and when, and the decisions that promotion has taken."""

    reports: dict[str, tuple[str, str]] = field(default_factory=dict)
    promotions: list[str] = field(default_factory=list)

    @classmethod
    def load(cls, text: str | None) -> Cursor:
        """The cursor a sensor kept; an empty one where there is none."""
        if not text:
            return cls()
        value = json.loads(text)
        return cls({name: (seen, at) for name, (seen, at) in value["reports"].items()}, value["promotions"])

    def dump(self) -> str:
        """The cursor as text."""
        return json.dumps({"reports": self.reports, "promotions": self.promotions})


@dataclass(frozen=True, slots=True)
class Due:
    """What to start.

    Attributes:
        reports: by experiment, a key of what it would be made from.
        reported: the same of what was asked for before, and will be again where it failed.
        promotions: by decision that is not in the cursor, its task. The caller puts one there once promotion has taken
            it.
        started: all started experiments.
    """

    reports: dict[str, str]
    reported: dict[str, str]
    promotions: dict[str, str]
    started: tuple[str, ...]


def what_is_due(database: Database, cursor: Cursor, now: datetime) -> Due:
    """What is new since `cursor`, which is moved on as far as reports go.

    A report is due when outcomes were recorded, windows of units closed, or the experiment was started, changed or
    stopped; not more often than every `REFRESH` while it is under traffic.
    """
    reports: dict[str, str] = {}
    reported: dict[str, str] = {}
    promotions: dict[str, str] = {}
    with database.session(read_only=True) as session:
        records = experiments.list_experiments(session)
        for record in records:
            before = cursor.reports.get(record.name)
            key = _state_of(session, record, now) if _may_change(record, now) else None
            if key is not None and _is_due(before, key, now):
                cursor.reports[record.name] = (key, now.isoformat())
                reports[record.name] = key
            elif key is not None and before is not None:
                reported[record.name] = before[0]
            if record.decision_id and record.decision_id not in cursor.promotions and _promotes(session, record):
                promotions[record.decision_id] = record.task
    return Due(reports, reported, promotions, tuple(record.name for record in records))


def _may_change(record: ExperimentRecord, now: datetime) -> bool:
    """It runs, or its last windows closed lately; what is imported later than that is reported on by hand."""
    window = timedelta(hours=record.experiment.metric.window_hours)
    return record.stopped_at is None or now < record.stopped_at + window + AFTERWARDS


def _is_due(before: tuple[str, str] | None, key: str, now: datetime) -> bool:
    if before is None:
        return True
    seen, at = before
    if seen == key:
        return False
    return seen.split(":")[0] != key.split(":")[0] or now - datetime.fromisoformat(at) >= REFRESH


def _state_of(session: Session, record: ExperimentRecord, now: datetime) -> str:
    """`revision:what is recorded`. Closed windows are counted by their answers, of which a unit may have several."""
    window = timedelta(hours=record.experiment.metric.window_hours)
    counts = [
        outcomes.count(session, record.name),
        interactions.count(session, record.name, before=now - window),
    ]
    return f"{record.revision}:{content_id([record.name, *counts])[:16]}"


def _promotes(session: Session, record: ExperimentRecord) -> bool:
    if record.experiment.promote != "automatic" or record.decision_id is None:
        return False
    decision = gate_decisions.find(session, record.decision_id)
    return decision is not None and decision.verdict == "promote"
