"""Optimization runs: started, perhaps paused and resumed, finished once and for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import update
from sqlalchemy.orm import Session

from domain.errors import ConflictError, NotFoundError
from domain.identity import canonical_json, id_for_task, short_id
from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import AnyRow, select_record
from resources.database.tables import OptimizationRunRow

RunStatus = Literal["running", "paused", "finished"]
RunRole = Literal["result", "reference", "candidate"]


@dataclass(frozen=True, slots=True)
class OptimizationRunRecord:
    """One run as stored.

    Attributes:
        optimizer: the optimizer's specification with seed and budget, as JSON values.
        stop_reason: why it is paused, or what cut a finished run short; None for a full one.
        result_prompt_version_id: the winner on `dev`; of a paused run, the best so far.
        reference_prompt_version_ids: versions the winner is to be held against, e.g. random demonstrations.
        candidates: one mapping per candidate, as the optimizer reported it.
    """

    id: str
    task: str
    prompt_version_id: str
    dataset_version_id: str
    optimizer: dict[str, Any]
    status: RunStatus
    stop_reason: str | None
    result_prompt_version_id: str | None
    reference_prompt_version_ids: tuple[str, ...]
    dev_score: float | None
    candidates: tuple[dict[str, Any], ...]
    started_at: datetime
    finished_at: datetime | None

    def role_of(self, prompt_version_id: str) -> RunRole | None:
        """What that version is to this run; None: nothing it made. The version it started from it did not make."""
        if prompt_version_id == self.prompt_version_id:
            return None
        if prompt_version_id == self.result_prompt_version_id:
            return "result"
        if prompt_version_id in self.reference_prompt_version_ids:
            return "reference"
        tried = {one.get("prompt_version_id") for one in self.candidates}
        return "candidate" if prompt_version_id in tried else None


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run ends with; see `OptimizationRunRecord`."""

    result_prompt_version_id: str
    dev_score: float | None
    reference_prompt_version_ids: tuple[str, ...] = ()
    candidates: tuple[dict[str, Any], ...] = ()
    stop_reason: str | None = None


def start(
    session: Session,
    run_id: str,
    *,
    task: str,
    prompt_version_id: str,
    dataset_version_id: str,
    optimizer: Mapping[str, Any],
    now: datetime,
) -> OptimizationRunRecord:
    """Store a new run as running, set a paused one running again; a finished one is returned as it is.

    Raises:
        ConflictError: what is stored under that id is another task's; see `id_for`.
    """
    first = {
        "id": run_id,
        "task": task,
        "prompt_version_id": prompt_version_id,
        "dataset_version_id": dataset_version_id,
        "optimizer": dict(optimizer),
        "status": "running",
        "reference_prompt_version_ids": [],
        "candidates": [],
        "started_at": now,
    }
    if insert_ignore(session, OptimizationRunRow, [first]) == 0:
        stored = get(session, run_id)
        if stored.task != task:
            raise ConflictError(
                f"Optimization run {short_id(run_id)} was just started for task {stored.task!r}.",
                mend="Run it again: it then gets an id of its own.",
            )
        _change_unfinished(session, run_id, {"status": "running", "stop_reason": None})
    return get(session, run_id)


def id_for(session: Session, run_id: str, task: str) -> str:
    """The id under which `task` keeps the run of that id: its own where another task has it."""
    found = find(session, run_id)
    return id_for_task(run_id, task, found.task if found else None)


def pause(session: Session, run_id: str, *, reason: str, so_far: RunResult | None = None) -> OptimizationRunRecord:
    """Say why a run stands still until it is started again, and what it has so far; a finished one stays as it is.

    Raises:
        NotFoundError: no such run.
    """
    reached = {} if so_far is None else _values(so_far)
    _change_unfinished(session, run_id, {**reached, "status": "paused", "stop_reason": reason})
    return get(session, run_id)


def finish(session: Session, run_id: str, result: RunResult, *, now: datetime) -> OptimizationRunRecord:
    """Fix the result of a run. Saying the same again changes nothing.

    Raises:
        NotFoundError: no such run.
        ConflictError: it finished before with another result.
    """
    finished = _change_unfinished(
        session,
        run_id,
        {**_values(result), "status": "finished", "stop_reason": result.stop_reason, "finished_at": now},
    )
    stored = get(session, run_id)
    if not finished and _comparable(_result_of(stored)) != _comparable(result):
        raise ConflictError(
            f"Optimization run {short_id(run_id)} finished before, with another result.",
            mend="A finished run does not change: use its result, or start one with another seed.",
        )
    return stored


def find(session: Session, run_id: str) -> OptimizationRunRecord | None:
    """The run with exactly that id."""
    query = select_record(OptimizationRunRow, OptimizationRunRecord).where(OptimizationRunRow.id == run_id)
    row = session.execute(query).one_or_none()
    return None if row is None else _read(row)


def get(session: Session, run_id: str) -> OptimizationRunRecord:
    """The run with exactly that id.

    Raises:
        NotFoundError: no such run.
    """
    found = find(session, run_id)
    if found is None:
        raise NotFoundError(f"There is no optimization run {short_id(run_id)}.")
    return found


def list_optimization_runs(
    session: Session, task: str, *, status: RunStatus | None = None, limit: int | None = None
) -> list[OptimizationRunRecord]:
    """The task's runs, newest first."""
    query = select_record(OptimizationRunRow, OptimizationRunRecord).where(OptimizationRunRow.task == task)
    if status is not None:
        query = query.where(OptimizationRunRow.status == status)
    query = query.order_by(OptimizationRunRow.started_at.desc(), OptimizationRunRow.id).limit(limit)
    return [_read(row) for row in session.execute(query)]


def runs_that_made(session: Session, task: str, prompt_version_id: str) -> list[OptimizationRunRecord]:
    """The task's runs that ended in that version, oldest first; failing that, those that drew or tried it.

    A run that ended in the very version it started from did not make it.
    """
    query = select_record(OptimizationRunRow, OptimizationRunRecord).where(
        OptimizationRunRow.task == task, OptimizationRunRow.prompt_version_id != prompt_version_id
    )
    oldest = query.order_by(OptimizationRunRow.started_at, OptimizationRunRow.id)
    ended_in_it = oldest.where(OptimizationRunRow.result_prompt_version_id == prompt_version_id)
    found = [_read(row) for row in session.execute(ended_in_it)]
    return found or [run for run in map(_read, session.execute(oldest)) if run.role_of(prompt_version_id)]


def _change_unfinished(session: Session, run_id: str, values: dict[str, Any]) -> bool:
    changed = session.execute(
        update(OptimizationRunRow)
        .where(OptimizationRunRow.id == run_id, OptimizationRunRow.status != "finished")
        .values(values)
        .returning(OptimizationRunRow.id)
        .execution_options(synchronize_session=False)
    )
    return changed.one_or_none() is not None


def _values(result: RunResult) -> dict[str, Any]:
    return {
        "result_prompt_version_id": result.result_prompt_version_id,
        "reference_prompt_version_ids": list(result.reference_prompt_version_ids),
        "dev_score": result.dev_score,
        "candidates": list(result.candidates),
    }


def _result_of(record: OptimizationRunRecord) -> RunResult:
    return RunResult(
        result_prompt_version_id=record.result_prompt_version_id or "",
        dev_score=record.dev_score,
        reference_prompt_version_ids=record.reference_prompt_version_ids,
        candidates=record.candidates,
        stop_reason=record.stop_reason,
    )


def _comparable(result: RunResult) -> str:
    return canonical_json(
        [
            result.result_prompt_version_id,
            result.dev_score,
            result.reference_prompt_version_ids,
            result.candidates,
            result.stop_reason,
        ]
    )


def _read(row: AnyRow) -> OptimizationRunRecord:
    values = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's public name for it
    values["reference_prompt_version_ids"] = tuple(values["reference_prompt_version_ids"])
    values["candidates"] = tuple(values["candidates"])
    return OptimizationRunRecord(**values)
