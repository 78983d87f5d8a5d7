"""Experiments that were started: running ones, and stopped ones with their reason."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from domain.errors import ConflictError, NotFoundError
from domain.experiment.spec import Experiment
from resources.database.repositories.records import AnySelect, as_row, read, select_record
from resources.database.tables import ExperimentRow


@dataclass(frozen=True, slots=True)
class ExperimentRecord:
    """A started experiment.

    Attributes:
        spec: its `Experiment` as JSON values, as started or reweighted last.
        state: `running` or `stopped`.
        prompt_version_ids: by variant; fixed at the start.
        epochs: `{"since": ISO time, "allocation": [[start, end, variant], …]}`, oldest first.
        stop_kind: `winner`, `futility`, `guardrail`, or `person`; None while it runs.
        decision_id: the gate decision it ended in, if any.
        revision: grows by one with every change and is what a change must name.
    """

    name: str
    task: str
    spec: dict[str, Any]
    spec_id: str
    state: str
    prompt_version_ids: dict[str, str]
    epochs: list[dict[str, Any]]
    started_by: str
    started_at: datetime
    stopped_at: datetime | None
    stopped_by: str | None
    stop_kind: str | None
    stop_reason: str | None
    decision_id: str | None
    revision: int

    @property
    def experiment(self) -> Experiment:
        """The specification itself.

        Raises:
            pydantic.ValidationError: it was stored by a program with other rules.
        """
        return Experiment.model_validate(self.spec)


def insert_started(session: Session, record: ExperimentRecord) -> None:
    """Store an experiment that was not there before."""
    session.execute(insert(ExperimentRow).values(as_row(record)))


def find(session: Session, name: str) -> ExperimentRecord | None:
    """The started experiment of that name."""
    row = session.execute(_select().where(ExperimentRow.name == name)).one_or_none()
    return None if row is None else read(ExperimentRecord, row)


def get(session: Session, name: str) -> ExperimentRecord:
    """The started experiment of that name.

    Raises:
        NotFoundError: none was started under it; the mend lists those that were.
    """
    found = find(session, name)
    if found is None:
        names = session.scalars(select(ExperimentRow.name).order_by(ExperimentRow.name)).all()
        known = f"Started were: {', '.join(names)}." if names else "None was started yet."
        raise NotFoundError(
            f"No experiment {name!r} was started.", mend=f"Start it: promptory experiment start {name}. {known}"
        )
    return found


def list_experiments(session: Session, *, state: str | None = None, task: str | None = None) -> list[ExperimentRecord]:
    """The started experiments, or those in `state` or of `task`, by name."""
    query = _select().order_by(ExperimentRow.name)
    if state is not None:
        query = query.where(ExperimentRow.state == state)
    if task is not None:
        query = query.where(ExperimentRow.task == task)
    return [read(ExperimentRecord, row) for row in session.execute(query)]


def change(session: Session, record: ExperimentRecord, **values: Any) -> ExperimentRecord:
    """Set `values` on `record`, if nobody has changed it since it was read.

    Raises:
        ConflictError: somebody has.
    """
    done = session.execute(
        update(ExperimentRow)
        .where(ExperimentRow.name == record.name, ExperimentRow.revision == record.revision)
        .values(**values, revision=record.revision + 1)
        .returning(ExperimentRow.name)
        .execution_options(synchronize_session=False)
    )
    if done.one_or_none() is None:
        raise ConflictError(
            f"Experiment {record.name!r} was changed by somebody else at the same moment.", mend="Look at it again."
        )
    return get(session, record.name)


def _select() -> AnySelect:
    return select_record(ExperimentRow, ExperimentRecord)
