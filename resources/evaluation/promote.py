"""Moving the production alias on a recorded decision, read again here. What a person does is in `steering`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from domain.errors import InputError, NotFoundError
from domain.identity import short_id
from resources.database.repositories import aliases, experiments, gate_decisions
from resources.database.repositories.aliases import AliasMoveRecord
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.session import Database

PRODUCTION = "production"
CANDIDATE = "candidate"


@dataclass(frozen=True, slots=True)
class Promotion:
    """Where production points now, and whether (and why) it was just moved or left."""

    production_id: str | None
    moved: bool
    reason: str
    decision: GateDecisionRecord


def decision_to_carry_out(
    database: Database, task: str, evaluated_id: str | None, compressed_id: str | None = None
) -> str:
    """The decision that promotion goes by: the evaluation's, or a newer promotion by a compression or an experiment.

    An experiment may promote by itself where it says `promote: automatic`; others are promoted by hand.

    Raises:
        NotFoundError: nothing of this task has been decided yet.
    """
    with database.session(read_only=True) as session:
        evaluated, compressed = (
            gate_decisions.find(session, one) if one else None for one in (evaluated_id, compressed_id)
        )
        others = [one for one in (compressed, _live(session, task)) if one is not None and one.verdict == "promote"]
    newest = max(others, key=lambda one: one.created_at, default=None)
    if newest is not None and (evaluated is None or evaluated.created_at < newest.created_at):
        return newest.id
    decided = evaluated_id or compressed_id
    if decided is None:
        raise NotFoundError(f"nothing of task {task!r} has been decided yet", mend=f"run `promptory evaluate {task}`.")
    return decided


def _live(session: Session, task: str) -> GateDecisionRecord | None:
    live = gate_decisions.latest_of_experiments(session, task)
    started = experiments.find(session, live.experiment) if live and live.experiment else None
    return live if started is not None and started.experiment.promote == "automatic" else None


def promote_decided(database: Database, task: str, decision_id: str, now: datetime) -> Promotion:
    """Carry out a recorded decision of `task`, once, if it says promote and production has not moved since.

    Raises:
        NotFoundError: no such decision is recorded.
        InputError: the decision is another task's.
        ConflictError: somebody moved the alias at the same moment.
    """
    with database.session() as session:
        decision = gate_decisions.get(session, decision_id)
        if decision.task != task:
            raise InputError(
                f"the decision {short_id(decision_id)} is another task's, {decision.task!r}", mend="evaluate again."
            )
        current = aliases.find(session, task, PRODUCTION)
        points_at = current.prompt_version_id if current else None
        if decision.verdict != "promote":
            return Promotion(points_at, False, f"The gate said {decision.verdict}: {decision.reason}", decision)
        if points_at == decision.candidate_id:
            return Promotion(points_at, False, "The decided version is in production already.", decision)
        if current is None or points_at != decision.production_id:
            reason = "Production has moved since the comparison; evaluate again."
            return Promotion(points_at, False, reason, decision)
        if _was_carried_out(session, decision):
            # Somebody moved production back by hand, with a reason; the same figures are no reason to overrule them.
            reason = "The decision was carried out already, and production was moved back since."
            return Promotion(points_at, False, reason, decision)
        held = aliases.hold(session, task, PRODUCTION)
        if held is not None:
            return Promotion(points_at, False, f"Nothing is moved: {hold_text(held)}", decision)
        moved = aliases.move(
            session,
            task,
            PRODUCTION,
            decision.candidate_id,
            expected_revision=current.revision,
            moved_by="gate",
            reason=decision.reason,
            now=now,
            decision_id=decision.id,
        )
        reason = f"Promoted {short_id(decision.candidate_id)}: {decision.reason}"
        return Promotion(moved.prompt_version_id, True, reason, decision)


def hold_text(held: AliasMoveRecord) -> str:
    """One sentence: who keeps the gate from moving production, since when, why, and what ends it."""
    since = f"{held.moved_at:%Y-%m-%d %H:%M} UTC"
    return (
        f"{held.moved_by} holds production since {since} ({held.kind}: {held.reason.strip()}); "
        f"`promptory prompt release {held.task}` lets the gate decide again."
    )


def _was_carried_out(session: Session, decision: GateDecisionRecord) -> bool:
    moves = aliases.history(session, decision.task, PRODUCTION)
    return any(move.kind == "gate" and move.decision_id == decision.id for move in moves)
