"""What is dropped with age, and what never is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from jobs.retention import database_retention
from resources.database.repositories import journal
from resources.database.tables import OptimizationRunRow
from resources.database_resource import DatabaseResource
from sensors.housekeeping import ledger_compaction, retention

NOW = datetime.now(UTC)


class Later(datetime):
    @classmethod
    def now(cls, tz: Any = None) -> datetime:
        return datetime.now(tz) + timedelta(days=11)


@dg.job
def broken() -> None:
    @dg.op
    def breaks() -> None:
        raise dg.Failure("broken")

    breaks()


@dg.job
def half_made() -> None:
    @dg.op
    def makes_one_of_two(context) -> None:
        context.log_event(dg.AssetMaterialization("dataset", partition="colours"))
        raise dg.Failure("1 of 2 partitions failed")

    makes_one_of_two()


def run_of(ledger: Any, run_id: str, finished_at: datetime | None) -> None:
    with ledger.database.session() as session:
        session.add(
            OptimizationRunRow(
                id=run_id,
                task="colours",
                prompt_version_id="p" * 64,
                dataset_version_id="d" * 64,
                optimizer={},
                reference_prompt_version_ids=[],
                candidates=[],
                status="finished" if finished_at else "paused",
                started_at=NOW - timedelta(days=100),
                finished_at=finished_at,
            )
        )
        session.flush()
        journal.put_many(session, run_id, {"key": {"text": "yes"}}, now=NOW)


def dropping(ledger: Any, instance: dg.DagsterInstance, **config: int) -> dg.ExecuteInProcessResult:
    resources = {"database": DatabaseResource(url=ledger.url)}
    job = dg.Definitions(jobs=[database_retention], resources=resources).resolve_job_def("database_retention")
    return job.execute_in_process(instance=instance, run_config={"ops": {"drop_old": {"config": config}}})


def journals(ledger: Any) -> set[str]:
    with ledger.database.session(read_only=True) as session:
        return {run for run in ("old", "new", "open") if journal.load_all(session, run)}


def test_only_journals_of_runs_that_finished_long_ago_go(ledger: Any) -> None:
    run_of(ledger, "old", NOW - timedelta(days=20))
    run_of(ledger, "new", NOW - timedelta(days=2))
    run_of(ledger, "open", None)
    with dg.DagsterInstance.ephemeral() as instance:
        assert dropping(ledger, instance).success
        assert journals(ledger) == {"old", "new", "open"}  # nothing without a number of days
        assert dropping(ledger, instance, journal_keep_days=10).success
    assert journals(ledger) == {"new", "open"}


def test_only_old_runs_that_failed_go(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        failed = broken.execute_in_process(instance=instance, raise_on_error=False).run_id
        done = dropping(ledger, instance, dagster_runs_keep_days=10).run_id
        assert {one.run_id for one in instance.get_runs()} == {failed, done}
        monkeypatch.setattr("jobs.retention.datetime", Later)
        last = dropping(ledger, instance, dagster_runs_keep_days=10).run_id
        assert {one.run_id for one in instance.get_runs()} == {done, last}


def test_runs_that_made_something_before_they_failed_stay(ledger: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.retention.RUNS_AT_ONCE", 2)
    monkeypatch.setattr("jobs.retention.datetime", Later)
    with dg.DagsterInstance.ephemeral() as instance:
        ended = [
            (job.name, job.execute_in_process(instance=instance, raise_on_error=False).run_id)
            for job in (broken, half_made, broken, broken, broken, half_made, half_made, broken)
        ]
        last = dropping(ledger, instance, dagster_runs_keep_days=10).run_id
        kept = {run_id for name, run_id in ended if name == "half_made"}
        assert {one.run_id for one in instance.get_runs()} == {*kept, last}
        assert instance.get_materialized_partitions(dg.AssetKey("dataset")) == {"colours"}


def test_the_schedules_are_on_where_somebody_said_how_long(ledger: Any) -> None:
    context = dg.build_schedule_context(scheduled_execution_time=NOW)
    off, on = ledger_compaction("UTC", None), ledger_compaction("UTC", 90)
    assert (off.default_status.value, on.default_status.value) == ("STOPPED", "RUNNING")
    assert isinstance(off(context), dg.SkipReason)
    request = on(context)
    assert isinstance(request, dg.RunRequest)
    assert request.run_config["ops"]["compact"]["config"] == {"keep_days": 90}
    assert isinstance(retention("UTC", None, None)(context), dg.SkipReason)
    kept = retention("UTC", 30, None)(context)
    assert isinstance(kept, dg.RunRequest)
    assert kept.run_config["ops"]["drop_old"]["config"] == {"journal_keep_days": 30}
