"""Starting, reweighing and stopping experiments: each once, never against another one's units."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from domain.errors import ConflictError, InputError
from domain.experiment.allocation import Allocation
from domain.experiment.layers import refuse_overlap
from domain.experiment.spec import Experiment
from resources.database.locks import lock_until_commit
from resources.database.repositories import experiments, prompt_versions
from resources.database.repositories.experiments import ExperimentRecord
from resources.database.session import Database
from resources.experiments.started import AllocationEpoch, Started

BY_HAND = "person"


def start(
    database: Database, experiment: Experiment, *, started_by: str, now: datetime, since: datetime | None = None
) -> tuple[Started, bool]:
    """Start an experiment, or take over changed weights and switches of a running one; whether anything changed.

    Prompt versions are looked up and fixed now. Units that were answered keep their variant when weights change.

    Args:
        since: when its traffic began, for one that is imported; None for now.

    Raises:
        InputError: it overlaps a running experiment, was stopped before, changed in more than weights and switches
            while running, or would be dealt more unevenly than at its start.
        NotFoundError: a variant's prompt version does not exist.
        ConflictError: somebody changed it at the same moment.
    """
    if since is not None and since > now:
        raise InputError("an experiment cannot have begun in the future", field="since", mend="give an earlier time.")
    with database.session() as session:
        lock_until_commit(session, "experiments")
        known = experiments.find(session, experiment.name)
        if known is not None:
            return _again(session, Started.of(known), experiment, now)
        refuse_overlap(experiment, (one.experiment for one in experiments.list_experiments(session, state="running")))
        record = _first(session, experiment, started_by, since or now)
        experiments.insert_started(session, record)
    return Started.of(record), True


def stop(database: Database, name: str, *, kind: str, reason: str, stopped_by: str, now: datetime) -> ExperimentRecord:
    """Stop a running experiment: from now on (in other processes: within a second) nobody is dealt to a variant.

    Raises:
        InputError: the reason is empty.
        NotFoundError: it was never started.
        ConflictError: it is stopped already; the message says why.
    """
    with database.session() as session:
        return stop_in(session, name, kind=kind, reason=reason, stopped_by=stopped_by, now=now)


def stop_in(
    session: Session,
    name: str,
    *,
    kind: str,
    reason: str,
    stopped_by: str,
    now: datetime,
    decision_id: str | None = None,
) -> ExperimentRecord:
    """`stop` as a part of somebody's transaction; raises the same."""
    if not reason.strip():
        raise InputError("stopping an experiment needs a reason", field="reason", mend="say why.")
    lock_until_commit(session, "experiments")
    record = experiments.get(session, name)
    if record.state != "running":
        raise ConflictError(
            f"Experiment {name!r} was stopped at {record.stopped_at:%Y-%m-%d %H:%M} UTC ({record.stop_kind}): "
            f"{record.stop_reason}",
            mend="A stopped experiment stays stopped; start a new one under another name.",
        )
    return experiments.change(
        session,
        record,
        state="stopped",
        stopped_at=max(now, record.started_at),
        stopped_by=stopped_by,
        stop_kind=kind,
        stop_reason=reason,
        decision_id=decision_id,
    )


def _first(session: Session, experiment: Experiment, started_by: str, since: datetime) -> ExperimentRecord:
    epoch = AllocationEpoch(since, Allocation.of(experiment.weights()))
    versions = {
        variant.name: prompt_versions.get(session, experiment.task, variant.prompt).id
        for variant in experiment.variants
    }
    return ExperimentRecord(
        name=experiment.name,
        task=experiment.task,
        spec=experiment.model_dump(mode="json"),
        spec_id=experiment.spec_id,
        state="running",
        prompt_version_ids=versions,
        epochs=[epoch.as_dict()],
        started_by=started_by,
        started_at=since,
        stopped_at=None,
        stopped_by=None,
        stop_kind=None,
        stop_reason=None,
        decision_id=None,
        revision=1,
    )


def _again(session: Session, running: Started, experiment: Experiment, now: datetime) -> tuple[Started, bool]:
    if not running.is_running:
        raise InputError(
            f"experiment {experiment.name!r} was stopped ({running.record.stop_kind}) and cannot start again",
            field="name",
            mend="give the new experiment a name of its own: its units are dealt anew by it.",
        )
    refuse_other_design(running.experiment, experiment)
    if experiment.spec_id == running.record.spec_id:
        return running, False
    epochs = running.epochs
    if experiment.weights() != running.experiment.weights():
        allocation = epochs[-1].allocation.reweighted(experiment.weights())
        experiment.refuse_shrunk_share(epochs[0].allocation.shares(), allocation.shares())
        epochs = (*epochs, AllocationEpoch(now, allocation))
    record = experiments.change(
        session,
        running.record,
        spec=experiment.model_dump(mode="json"),
        spec_id=experiment.spec_id,
        epochs=[epoch.as_dict() for epoch in epochs],
    )
    return replace(running, record=record, experiment=experiment, epochs=epochs), True


def refuse_other_design(running: Experiment, wanted: Experiment) -> None:
    """Return only if `wanted` differs from the running experiment in nothing but weights, switches, words and budget.

    Raises:
        InputError: it does; the message names the fields.
    """
    before, after = running.design(), wanted.design()
    changed = [field for field in after if before.get(field) != after[field]]
    if changed:
        raise InputError(
            f"experiment {running.name!r} is running and its file now differs in {', '.join(changed)}",
            field=changed[0],
            mend="change only weights, switches, words and budget of a running experiment, or stop it and start a new "
            "one under another name.",
        )
