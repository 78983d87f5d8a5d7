"""Answers that were paid for and never recorded, because the process was killed in between: the ledger has them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from resources.database.repositories import interactions, ledger, prompt_versions
from resources.database.repositories.interactions import InteractionRecord
from resources.database.repositories.ledger import CallRecord
from resources.database.session import Database
from resources.experiments.started import Started

GRACE = timedelta(minutes=2)
"""So old a call must be before it counts as left behind: a living process may be about to record it."""


def recover(database: Database, started: Started, now: datetime) -> int:
    """Record the complete answers that only the ledger knows; how many there were. Running it again changes nothing.

    A request whose last step was not answered gave its unit no answer and is left out.

    Raises:
        DatabaseUnavailableError: the database cannot be reached.
    """
    with database.session(read_only=True) as session:
        requests = _by_request(ledger.unrecorded_calls(session, started.experiment.name, before=now - GRACE))
        found = [made for calls in requests.values() if (made := _interaction(session, started, calls))]
    if found:
        with database.session() as session:
            return interactions.put_many(session, found)
    return 0


def _by_request(calls: Iterable[CallRecord]) -> dict[str, list[CallRecord]]:
    requests: dict[str, list[CallRecord]] = {}
    for call in calls:
        if call.row_id and call.unit_id:
            requests.setdefault(call.row_id, []).append(call)
    return requests


def _interaction(session: Session, started: Started, calls: list[CallRecord]) -> InteractionRecord | None:
    last = calls[-1]
    if last.prompt_version_id is None or last.unit_id is None:
        return None
    prompt = prompt_versions.find(session, started.record.task, last.prompt_version_id)
    if prompt is None or last.step != prompt.prompt.steps[-1].name:
        return None
    steps = {call.step: call for call in calls}  # of a step that was asked again, the last answer
    return InteractionRecord(
        experiment=started.experiment.name,
        id=str(last.row_id),
        unit_id=last.unit_id,
        variant=_variant(session, started, last),
        prompt_version_id=last.prompt_version_id,
        call_id=last.call_id,
        cost_nano_usd=sum(call.cost_nano_usd for call in steps.values()),
        latency_s=sum(call.latency_s for call in steps.values()),
        answer=None,
        at=last.finished_at,
        source="ledger",
    )


def _variant(session: Session, started: Started, call: CallRecord) -> str:
    unit = str(call.unit_id)
    kept = interactions.first_variant(session, started.experiment.name, unit) if len(started.epochs) > 1 else None
    return kept or started.dealt(unit, call.started_at)
