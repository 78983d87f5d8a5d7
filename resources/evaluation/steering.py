"""What a person does to an alias: promote past the gate, roll back, and let the gate decide again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from domain.alias_moves import MoveKind, version_before
from domain.errors import ConflictError, InputError
from domain.identity import short_id
from resources.database.repositories import aliases, gate_decisions, prompt_versions
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.promote import PRODUCTION


@dataclass(frozen=True, slots=True)
class HandMove:
    """What a person's command did.

    Attributes:
        kind: as the history has it; None where the alias pointed there already and nothing was moved.
        before: None where the alias did not exist.
        overruled: the gate's newest decision about the version, where it did not say promote.
    """

    alias: str
    kind: MoveKind | None
    before: PromptVersionRecord | None
    after: PromptVersionRecord
    overruled: GateDecisionRecord | None = None


def promote_by_hand(
    database: Database, task: str, reference: str, alias: str, *, by: str, reason: str, now: datetime
) -> HandMove:
    """Point `alias` at a version past the gate; the gate then leaves production alone until it is released.

    Raises:
        NotFoundError: no such version.
        InputError: the reason is empty, or the alias's name cannot be one.
        ConflictError: somebody moved the alias at the same moment.
    """
    with database.session() as session:
        after = prompt_versions.get(session, task, reference)
        current = aliases.find(session, task, alias)
        before = prompt_versions.find(session, task, current.prompt_version_id) if current else None
        if before is not None and before.id == after.id:
            return HandMove(alias, None, before, after)
        overruled = _overruled(session, task, after.id) if alias == PRODUCTION and current else None
        kind: MoveKind = "first" if current is None else "override" if overruled else "hand"
        aliases.move(
            session,
            task,
            alias,
            after.id,
            expected_revision=current.revision if current else None,
            moved_by=by,
            reason=reason,
            now=now,
            decision_id=overruled.id if overruled else None,
            kind=kind,
        )
    return HandMove(alias, kind, before, after, overruled)


def roll_back(
    database: Database, task: str, alias: str, *, by: str, reason: str | None, now: datetime, leaving: str | None = None
) -> HandMove:
    """Point `alias` at the version that was there before; the gate then leaves it alone until it is released.

    Where the alias pointed is read before, and swapped only if it is still there: of two people who roll back at once
    one is told of the other.

    Args:
        leaving: the version the person means to leave (a number, an id, …); None takes whichever is there.

    Raises:
        NotFoundError: there is no such alias or version.
        InputError: there was no version before.
        ConflictError: the alias points elsewhere than `leaving`, or somebody moved it at the same moment.
    """
    with database.session(read_only=True) as session:
        current = aliases.get(session, task, alias)
        before = prompt_versions.get(session, task, current.prompt_version_id)
        if leaving is not None and prompt_versions.get(session, task, leaving).id != before.id:
            raise ConflictError(
                f"Alias {alias!r} of task {task!r} points at v{before.version} ({short_id(before.id)}), "
                f"not at {leaving!r}.",
                field="from",
                mend=f"look at `promptory prompt history {task}` and decide anew.",
            )
        target = version_before(aliases.history(session, task, alias))
        if target is None:
            raise InputError(
                f"Alias {alias!r} of task {task!r} never pointed at another version than v{before.version} "
                "that it could go back to.",
                field="alias",
                mend="name a version: `promptory prompt promote`.",
            )
        after = prompt_versions.get(session, task, target)
    with database.session() as session:
        aliases.move(
            session,
            task,
            alias,
            after.id,
            expected_revision=current.revision,
            moved_by=by,
            reason=reason if reason is not None else f"Rolled back from v{before.version}.",
            now=now,
            kind="rollback",
        )
    return HandMove(alias, "rollback", before, after)


def release_hold(database: Database, task: str, *, by: str, reason: str, now: datetime) -> PromptVersionRecord:
    """Let the gate move production again; what is there now.

    Raises:
        NotFoundError: the task has nothing in production.
        InputError: nobody holds it, or the reason is empty.
    """
    with database.session() as session:
        current = aliases.release(session, task, PRODUCTION, released_by=by, reason=reason, now=now)
        return prompt_versions.get(session, task, current.prompt_version_id)


def _overruled(session: Session, task: str, version_id: str) -> GateDecisionRecord | None:
    newest = gate_decisions.list_gate_decisions(session, task, candidate_id=version_id, limit=1)
    return newest[0] if newest and newest[0].verdict != "promote" else None
