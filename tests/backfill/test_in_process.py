"""A backfill without a daemon: few runs, one bad task, the same key again, a change, a cancellation."""

from __future__ import annotations

import fcntl
import signal

import dagster as dg
import pytest
from backfill.tasks import Tasks

from domain.errors import ConflictError, InputError, NotFoundError
from orchestration import backfill
from orchestration.backfill.in_process import alone, is_worked_on
from orchestration.run_report import RunFailedError
from resources.catalog.catalog import Catalog
from resources.database.repositories import evaluations
from resources.database.session import open_database

INGEST = ["dataset", "prompt_version"]
LOOP = [*INGEST, "evaluation", "promotion"]
NAMES = ("alpha", "beta", "gamma", "delta")


def runs(tasks: Tasks) -> list[dg.DagsterRun]:
    with tasks.instance() as instance:
        return list(instance.get_runs())


def partition_states(tasks: Tasks, asset: str) -> dict[str, str]:
    with tasks.instance() as instance:
        partitions = dg.DynamicPartitionsDefinition(name="tasks")
        found = instance.get_status_by_partition(dg.AssetKey(asset), list(NAMES), partitions) or {}
        return {key: "missing" if state is None else state.value for key, state in found.items()}


def test_a_bad_task_costs_the_others_nothing_and_is_told_of(tasks: Tasks) -> None:
    tasks.add(*NAMES)
    tasks.break_rows("gamma")
    planned = backfill.plan(LOOP)
    assert (planned.to_run, len(planned.new_partitions), planned.runs) == (16, 4, 4)
    assert planned.calls.expected == planned.calls.at_most > 0
    assert planned.cost is not None
    assert 0 < planned.cost.expected < planned.cost.at_most

    seen: list[int] = []
    started = backfill.launch(LOOP, key="first", watch=lambda status: seen.append(status.done))
    status = backfill.status("first")

    assert started.way == "in_process"
    assert (status.state, status.done, status.waiting) == ("failed", 13, 0)
    reasons = {(one.asset, one.partition): one.reason for one in status.failed}
    assert set(reasons) == {("dataset", "gamma"), ("evaluation", "gamma"), ("promotion", "gamma")}
    assert "gamma.csv" in reasons["dataset", "gamma"]
    assert "Mend:" in reasons["dataset", "gamma"]
    assert reasons["promotion", "gamma"] == "not made: evaluation failed"
    assert seen == sorted(seen)
    assert seen[-1] == 13
    states = partition_states(tasks, "dataset")
    assert states == {"alpha": "MATERIALIZED", "beta": "MATERIALIZED", "gamma": "FAILED", "delta": "MATERIALIZED"}

    # Each partition has its own data version and what it was made from, as in a run of its own.
    versions = {tasks.tags("dataset", name)["dagster/data_version"] for name in ("alpha", "beta")}
    prompts = {tasks.tags("prompt_version", name)["dagster/data_version"] for name in ("alpha", "beta")}
    assert (len(versions), len(prompts)) == (1, 2)  # the same rows, different prompts
    made_from = tasks.tags("evaluation", "beta")
    assert made_from["dagster/code_version"] == "1"
    assert len(made_from["dagster/input_data_version/dataset"]) == 64

    # The same key is the same backfill, and nothing runs again.
    before = len(runs(tasks))
    assert backfill.launch(LOOP, key="first") == started
    assert len(runs(tasks)) == before
    with pytest.raises(ConflictError, match="another backfill"):
        backfill.launch(INGEST, key="first")
    with pytest.raises(ConflictError):
        backfill.launch(LOOP, ["alpha"], key="first")
    assert [(one.key, state) for one, state in backfill.list_backfills()] == [("first", "failed")]

    # The rest is what was mended, and what another task's new rows lead to.
    tasks.write_rows("gamma")
    tasks.write_rows("alpha", first=3)
    rest = {one.asset: one for one in backfill.plan(LOOP).assets}
    assert set(rest["dataset"].to_run) == {"alpha", "gamma"}
    assert rest["dataset"].reasons == {"files changed": 1, "never made": 1}
    assert set(rest["evaluation"].to_run) == {"alpha", "gamma"}
    assert rest["evaluation"].reasons == {"made from what is made again": 1, "never made": 1}
    assert rest["prompt_version"].to_run == ()

    backfill.launch(LOOP, key="second")
    status = backfill.status("second")
    assert (status.state, status.done, status.failed) == ("succeeded", 6, ())
    assert backfill.plan(LOOP).to_run == 0
    with pytest.raises(InputError, match="nothing is to be made"):
        backfill.launch(LOOP)
    assert {run.status for run in runs(tasks)} == {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}


def test_cancelled_in_the_middle_it_keeps_what_it_has(tasks: Tasks) -> None:
    tasks.add(*NAMES[:2])

    def cancel_after_ingestion(status: backfill.Status) -> None:
        if status.done >= 4:
            backfill.cancel("stopped")

    backfill.launch(LOOP, key="stopped", watch=cancel_after_ingestion)

    status = backfill.status("stopped")
    assert (status.state, status.done, status.failed, status.waiting) == ("canceled", 4, (), 4)
    assert backfill.launch(LOOP, key="stopped").id == status.backfill.id
    assert backfill.status("stopped").done == 4
    assert backfill.cancel("stopped").state == "canceled"


def test_a_run_stops_before_its_next_partition_once_it_is_cancelled(tasks: Tasks, monkeypatch) -> None:
    tasks.add(*NAMES[:3])
    backfill.launch(INGEST, key="ingest")
    asked: list[str] = []
    listed = evaluations.list_evaluations

    def cancel_at_the_first(*arguments, **more):
        asked.append("evaluated")
        backfill.cancel("stopped")
        return listed(*arguments, **more)

    monkeypatch.setattr(evaluations, "list_evaluations", cancel_at_the_first)
    backfill.launch(["evaluation"], key="stopped")

    status = backfill.status("stopped")
    assert status.state == "canceled"
    assert status.made["evaluation"] == ("alpha",)
    assert {one.reason for one in status.failed} == {"not made: the backfill was cancelled"}
    database = open_database(tasks.environment.database)
    with database.session(read_only=True) as session:
        assert listed(session, "alpha") != []
        assert listed(session, "beta") == []
    database.dispose()


def test_a_signal_stops_all_of_it_and_the_same_key_goes_on(tasks: Tasks, monkeypatch) -> None:
    tasks.add(*NAMES[:2])
    get = Catalog.get

    def interrupt(*arguments, **more):
        signal.raise_signal(signal.SIGTERM)
        return get(*arguments, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Catalog, "get", interrupt)
        with pytest.raises(RunFailedError, match="interrupted") as caught:
            backfill.launch(INGEST, key="stopped")
    assert caught.value.interrupted
    assert "stopped" in str(caught.value.mend)
    status = backfill.status("stopped")
    assert (status.state, len(status.runs), status.done, status.failed, status.waiting) == ("interrupted", 1, 0, (), 4)

    backfill.launch(INGEST, key="stopped")
    status = backfill.status("stopped")
    assert (status.state, len(status.runs), status.done) == ("succeeded", 3, 4)
    with tasks.instance() as instance:  # as is done for a run whose process was killed
        instance.report_run_failed(runs(tasks)[0], "its process is gone")
    assert backfill.status("stopped").done == 4


def test_a_file_that_cannot_be_read_keeps_only_its_own_task_out(tasks: Tasks) -> None:
    tasks.add("alpha", "beta")
    file = tasks.root / "catalog/tasks/alpha.yaml"
    file.write_text(file.read_text().replace("alpha.csv", f"{'alpha' * 60}.csv"))  # no file system looks that up

    planned = backfill.plan(INGEST)
    assert [one.to_run for one in planned.assets] == [("beta",), ("beta",)]
    (problem,) = planned.problems
    assert "alphaalpha" in problem
    (tasks.root / "catalog/tasks/beta.yaml").unlink()
    with pytest.raises(InputError, match=r"nothing is to be made.*alphaalpha"):
        backfill.launch(INGEST)


def test_who_looks_is_in_nobody_s_way(tasks: Tasks) -> None:
    place = tasks.environment
    with alone(place, "some") as free, alone(place, "some", sleep=lambda _: None) as also:
        assert (free, also, is_worked_on(place, "some")) == (True, False, True)
    with (tasks.root / "home/backfills/some.lock").open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        assert not is_worked_on(place, "some")
        with alone(place, "some", sleep=lambda _: fcntl.flock(looking, fcntl.LOCK_UN)) as free:
            assert free


def test_what_does_not_fit_is_refused(tasks: Tasks) -> None:
    tasks.add("alpha")
    with pytest.raises(InputError, match="did you mean `evaluation`"):
        backfill.plan(["evaluations"])
    with pytest.raises(InputError, match="do not fit"):
        backfill.plan(["evaluation", "call_log"])
    with pytest.raises(NotFoundError, match="there is no partition 'omega'"):
        backfill.plan(["evaluation"], ["omega"])
    with pytest.raises(InputError, match="the key is blank"):
        backfill.launch(["dataset"], key=" ")
    assert backfill.list_backfills() == []
    with pytest.raises(NotFoundError, match="no backfill was launched"):
        backfill.status("never")
    left_out = backfill.plan(["optimization_run"]).assets[0].left_out
    assert left_out == {"alpha": "its file names no optimizer"}


def test_days_share_a_run_and_are_fresh_once_they_are_over(tasks: Tasks) -> None:
    days = ["2026-02-01..2026-02-05"]
    backfill.launch(["call_log"], days, key="days")

    status = backfill.status("days")
    assert (status.state, status.done, len(status.runs)) == ("succeeded", 5, 1)
    assert backfill.plan(["call_log"], days).to_run == 0
    assert backfill.plan(["call_log"], days, force=True).to_run == 5
