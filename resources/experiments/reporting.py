"""One analysis of a started experiment, and what it ends in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from domain.errors import ConflictError
from domain.experiment.analysis import PATH_POINTS, analyse
from domain.experiment.report import DECIDED, Report
from domain.identity import content_id
from resources.database.repositories import experiments, gate_decisions
from resources.database.repositories.experiments import ExperimentRecord
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.session import Database
from resources.experiments.lifecycle import stop_in
from resources.experiments.recovery import recover
from resources.experiments.seeing import Bookkeeping, see
from resources.experiments.started import Started

KIND = "experiment"
STOP_RULE = "stop rule"


@dataclass(frozen=True, slots=True)
class LiveReport:
    """A report with what it was made from.

    Attributes:
        observations_id: SHA-256 of what was analysed: the same observations give the same report.
        recovered: answers that the ledger alone knew and that were recorded now.
        decision: the recorded one, where the experiment has ended in one.
    """

    started: Started
    report: Report
    bookkeeping: Bookkeeping
    observations_id: str
    recovered: int
    made_at: datetime
    decision: GateDecisionRecord | None

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        record, decision = self.started.record, self.decision
        return {
            "experiment": record.name,
            "task": record.task,
            "state": record.state,
            "started_at": record.started_at.isoformat(),
            "stopped_at": record.stopped_at.isoformat() if record.stopped_at else None,
            "stop_kind": record.stop_kind,
            "stop_reason": record.stop_reason,
            "made_at": self.made_at.isoformat(),
            "observations_id": self.observations_id,
            "bookkeeping": asdict(self.bookkeeping),
            "decision": {"id": decision.id, "verdict": decision.verdict} if decision else None,
            "report": self.report.as_dict(),
        }


def make_report(database: Database, name: str, now: datetime, *, points: int = PATH_POINTS) -> LiveReport:
    """Analyse what is recorded now. Always valid, so it may be made at any time; it decides nothing by itself.

    Raises:
        NotFoundError: no experiment of that name was started.
    """
    with database.session(read_only=True) as session:
        started = Started.of(experiments.get(session, name))
        decision = _decision_of(session, started.record)
    recovered = recover(database, started, now)
    seen = see(database, started, now)
    report = analyse(started.experiment, seen.observations, points=points)
    return LiveReport(started, report, seen.bookkeeping, seen.content_id, recovered, now, decision)


def conclude(
    database: Database,
    live: LiveReport,
    now: datetime,
    *,
    stopped_by: str = STOP_RULE,
    kind: str | None = None,
    reason: str | None = None,
) -> LiveReport:
    """Stop a running experiment and record the gate's decision, both or neither; one that is stopped stays as it is.

    Without `kind` and `reason` the report's own verdict stops it, if it is one that ends an experiment. With them a
    person does: the figures hold at any time, so a winner is one then too, and anything else is a rejection.

    Raises:
        ConflictError: a person wants to stop an experiment that is stopped already.
    """
    name, verdict = live.started.record.name, live.report.verdict
    if kind is None and (verdict.kind not in DECIDED or not live.started.is_running):
        return live
    decision = _decision(live, now)
    with database.session() as session:
        try:
            record = stop_in(
                session,
                name,
                kind=kind or verdict.kind,
                reason=reason or verdict.reason,
                stopped_by=stopped_by,
                now=now,
                decision_id=decision.id,
            )
        except ConflictError:
            if kind is not None:
                raise
            record = experiments.get(session, name)
            stored = _decision_of(session, record)
        else:
            stored = gate_decisions.record(session, decision)
    return replace(live, started=Started.of(record), decision=stored)


def _decision_of(session: Session, record: ExperimentRecord) -> GateDecisionRecord | None:
    return gate_decisions.find(session, record.decision_id) if record.decision_id else None


def _decision(live: LiveReport, now: datetime) -> GateDecisionRecord:
    """The decision of this experiment; there is one at most. It looked at no test rows, so it is no look at them."""
    started, report = live.started, live.report
    winner = report.verdict.variant if report.verdict.kind == "winner" else None
    best = winner or max(report.comparisons, key=lambda one: one.gain if one.gain is not None else -2.0).variant
    figures = report.as_dict()
    for comparison in figures["comparisons"]:
        for part in (comparison, comparison["cost"], comparison["latency"]):
            if part is not None:
                part.pop("path")
    record = started.record
    return GateDecisionRecord(
        id=content_id([KIND, record.name, record.started_at.isoformat(), record.prompt_version_ids]),
        task=record.task,
        candidate_id=started.prompt_version_id(best),
        production_id=started.prompt_version_id(report.control),
        dataset_version_id=live.observations_id,
        candidate_evaluation_id=None,
        production_evaluation_id=None,
        look=0,
        verdict="promote" if winner else "reject",
        reason=f"Experiment {record.name}: {report.verdict.reason}",
        comparison=figures,
        created_at=now,
        kind=KIND,
        experiment=record.name,
    )
