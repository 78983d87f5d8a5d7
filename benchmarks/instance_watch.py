"""Where each of a round's works stands, seen from outside, past whoever works on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import dagster as dg

from benchmarks.instance_place import BACKFILL, BATCH, JOBS, TASK_OF, WORKS, Place, Round
from benchmarks.instance_processes import is_run_worker
from domain.batch.provider_jobs import JobState
from domain.batch.states import BatchState
from orchestration.backfill import records
from resources.database.repositories import batches, provider_jobs
from resources.database.repositories.batches import BatchRecord
from sensors.batch_files import PARTITION_TAG, UNFINISHED

OVER = ("succeeded", "failed", "canceled")
ENDED = {JobState.ENDED.value, JobState.SETTLED.value, JobState.CLOSED.value}


@dataclass(frozen=True)
class Sight:
    """One work.

    Attributes:
        begun: a row was asked or handed over, or a run of the backfill has started.
        late: the backfill has asked for a row; a job has ended.
        over: nothing of it is left to do.
        run_id, pid: a run of it that has started and whose process lives; None where there is none.
        state: for people.
    """

    begun: bool
    late: bool
    over: bool
    run_id: str | None
    pid: int | None
    state: str

    @property
    def under_way(self) -> bool:
        """Whether it is in its middle."""
        return self.begun and not self.over


class Watch:
    """Looks at the works of one round."""

    def __init__(self, place: Place, instance: dg.DagsterInstance, begun: Round, former: Iterable[str]) -> None:
        self._place = place
        self._instance = instance
        self._round = begun
        self._former = frozenset(former)

    def see(self, work: str) -> Sight:
        """Where the work stands now."""
        run_id, pid = next(self._living(work), (None, None))
        if work == BACKFILL:
            state = records.get(self._instance, self._round.key).state
            begun = pid is not None or bool(self._instance.get_runs_count(self._runs(work)))
            late = begun and self._place.provider.has_asked(f"s{self._round.number}")
            return Sight(begun, late, state in OVER, run_id, pid, state)
        record = self.batch(work)
        if record is None:
            return Sight(False, False, False, run_id, pid, "not taken in")
        over, state = BatchState(record.state).is_final, f"{record.state} {record.reason or ''}".strip()
        if work == BATCH:
            asked = self._place.provider.has_asked(f"d{self._round.number}-")
            return Sight(asked, asked, over, run_id, pid, state)
        with self._place.database.session(read_only=True) as session:
            jobs = {job.state for job in provider_jobs.of_batch(session, record.id)}
        return Sight(bool(jobs), bool(jobs & ENDED), over, run_id, pid, state)

    def see_all(self) -> dict[str, Sight]:
        """Where all stand."""
        return {work: self.see(work) for work in WORKS}

    def batch(self, work: str) -> BatchRecord | None:
        """The round's batch of a batch work, once it is taken in."""
        with self._place.database.session(read_only=True) as session:
            found = batches.list_batches(session, task=TASK_OF[work])
        return next((record for record in found if record.id not in self._former), None)

    def unfinished_runs(self) -> list[dg.DagsterRun]:
        """Runs of anything that have not ended."""
        return list(self._instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)))

    def waits_for_retry(self) -> bool:
        """Whether a run has died and Dagster has not started it again yet."""
        failed = self._instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE]))
        return any(run.is_complete_and_waiting_to_retry for run in failed)

    def _runs(self, work: str, *statuses: dg.DagsterRunStatus) -> dg.RunsFilter:
        if work == BACKFILL:
            tags = {records.BACKFILL_TAG: records.id_of(self._round.key)}
            return dg.RunsFilter(tags=tags, statuses=statuses)
        return dg.RunsFilter(job_name="predict_batches", tags={PARTITION_TAG: TASK_OF[work]}, statuses=statuses)

    def _living(self, work: str) -> Iterator[tuple[str, int]]:
        for run in self._instance.get_runs(self._runs(work, dg.DagsterRunStatus.STARTED)):
            pid = process_id(self._instance, run.run_id)
            if pid is not None and is_run_worker(pid):
                yield run.run_id, pid


def process_id(instance: dg.DagsterInstance, run_id: str) -> int | None:
    """The process that said it had started the run."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_START)
    return next((entry.dagster_event.pid for entry in entries if entry.dagster_event is not None), None)


def all_batches(place: Place) -> list[BatchRecord]:
    """Every batch of the two tasks."""
    with place.database.session(read_only=True) as session:
        return [record for work in (BATCH, JOBS) for record in batches.list_batches(session, task=TASK_OF[work])]
