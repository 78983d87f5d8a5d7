"""The asset, the sensor and bursts of files."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import cast

import dagster as dg
import pytest
from batches.conftest import NOW
from loop.workplace import TASK, Example, Workplace, task_values
from upath import UPath

from assets.batch_inference.batch_predictions import batch_predictions
from assets.permanent_failure import PERMANENT_FAILURE_TAG
from domain.task import Task
from jobs.predict_batches import predict_batches as job
from orchestration.task_resources import build_task_resources
from resources.batch_inference.reading import BatchResults
from resources.database.repositories import batches, prompt_versions, tasks
from resources.evaluation.steering import promote_by_hand
from sensors.batch_files import batch_files

LONG_AGO = time.time() - 3600


def land(place: Workplace, name: str, numbers: range, *, age_s: float = 3600) -> Path:
    """A file of crates in the task's batch folder."""
    path = place.home / "batches" / TASK / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("text\n" + "".join(f"{Example(number).text}\n" for number in numbers), encoding="utf-8")
    os.utime(path, (time.time() - age_s,) * 2)
    return path


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upgraded_file: Path) -> Workplace:
    """A task of offline/nearest in production, by hand."""
    for name in ("DAGSTER_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    made = Workplace(tmp_path)
    made.write_rows([Example(0)])
    made.write_task(task_values(batch={"concurrency": 16}))
    made.home.mkdir()
    shutil.copyfile(upgraded_file, made.home / "promptory.db")
    task = Task.model_validate(task_values(batch={"concurrency": 16}))
    with made.database() as database:
        with database.session() as session:
            tasks.upsert_task(session, task, source_path="crates.yaml", now=NOW)
            prompt_versions.register(session, TASK, task.prompt.version(), created_by="author", now=NOW)
        promote_by_hand(database, TASK, "v1", "production", by="test", reason="test", now=NOW)
    return made


@pytest.fixture
def parts(place: Workplace) -> dg.Definitions:
    """What the code location holds of batches, without the parts whose loading takes seconds."""
    return dg.Definitions(
        assets=[batch_predictions],
        jobs=[job],
        sensors=[batch_files],
        resources=build_task_resources(place.environment),
        executor=dg.in_process_executor,
    )


def test_a_burst_of_files_is_one_run_and_drained_once(place: Workplace, parts: dg.Definitions):
    files = int(os.environ.get("PROMPTORY_BURST", "60"))
    for number in range(files):
        land(place, f"part-{number:05d}.csv", range(number * 3, number * 3 + 3))
    land(place, "copy.csv", range(3))
    being_written = land(place, "being-written.csv", range(900_000, 900_003), age_s=-50)
    land(place, "upload.csv.part", range(900_000, 900_003))
    (place.home / "batches" / TASK / "bad.csv").write_text("other\n1\n")
    os.utime(place.home / "batches" / TASK / "bad.csv", (LONG_AGO, LONG_AGO))

    with place.instance() as instance:
        requests = _tick(parts, instance)
        assert [request.partition_key for request in requests] == [TASK]
        assert requests[0].tags["promptory/batch_files"] == str(files + 2)
        resolved = parts.resolve_job_def("predict_batches")
        result = resolved.execute_in_process(instance=instance, partition_key=TASK)
        assert result.success
        assert len(instance.all_logs(result.run_id)) <= 100
        metadata = result.asset_materializations_for_node("batch_predictions")[0].metadata
        os.utime(being_written, (time.time() + 50,) * 2)  # ten thousand files take longer than it counts as young
        assert _tick(parts, instance) == []

    assert metadata["files_taken_in"].value == files
    assert metadata["files_delivered_before"].value == 1
    assert metadata["files_refused"].value == 1
    assert metadata["batches_done"].value == files
    assert metadata["rows_by_status"].value["ok"] == 3 * files
    assert metadata["repeated_after_a_kill"].value == 0
    with place.database() as database:
        with database.session(read_only=True) as session:
            done = batches.list_batches(session, states=["done"])
        rows = [
            row for one in done for row in BatchResults(database, UPath(place.environment.storage_root), one.id).rows()
        ]
    assert len(done) == files
    assert len(rows) == 3 * files


def test_the_sensor_asks_for_nothing_while_a_run_works(place: Workplace, parts: dg.Definitions):
    land(place, "a.csv", range(3))
    with place.instance() as instance:
        (request,) = _tick(parts, instance)
        run = instance.create_run_for_job(
            parts.resolve_job_def("predict_batches"),
            tags={**request.tags, "dagster/partition": TASK},
            status=dg.DagsterRunStatus.STARTED,
        )
        land(place, "b.csv", range(3, 6))
        assert _tick(parts, instance) == []
        instance.report_run_failed(run)
        (again,) = _tick(parts, instance)
    assert again.run_key != request.run_key


def test_what_failed_runs_left_is_asked_for_anew_after_a_while(
    place: Workplace, parts: dg.Definitions, monkeypatch: pytest.MonkeyPatch
):
    """Dagster asks once per run key: without another one the file would wait for ever."""
    land(place, "a.csv", range(3))
    with place.instance() as instance:

        def request_and_fail(**more: str) -> str:
            (request,) = _tick(parts, instance)
            tags = {**request.tags, "dagster/partition": TASK, **more}
            resolved = parts.resolve_job_def("predict_batches")
            run = instance.create_run_for_job(resolved, tags=tags, status=dg.DagsterRunStatus.STARTED)
            instance.report_run_failed(run)
            return str(request.run_key)

        first = request_and_fail()
        assert request_and_fail() == first, "Dagster is starting it again"
        monkeypatch.setattr("sensors.asking_again.AGAIN_AFTER_S", 0.0)
        assert request_and_fail() == f"{first}:2"
        assert request_and_fail(**{PERMANENT_FAILURE_TAG: "true"}) == f"{first}:3"
        assert request_and_fail() == f"{first}:3", "that is for a person to mend"


def test_a_run_terminated_before_it_began_is_asked_for_anew_after_a_while(
    place: Workplace, parts: dg.Definitions, monkeypatch: pytest.MonkeyPatch
):
    land(place, "a.csv", range(3))
    with place.instance() as instance:
        (request,) = _tick(parts, instance)
        tags = {**request.tags, "dagster/partition": TASK}
        resolved = parts.resolve_job_def("predict_batches")
        run = instance.create_run_for_job(resolved, tags=tags, status=dg.DagsterRunStatus.NOT_STARTED)
        instance.report_run_canceling(run)
        instance.report_run_canceled(run)
        (record,) = instance.get_run_records()
        assert record.end_time is not None
        assert [again.run_key for again in _tick(parts, instance)] == [request.run_key]
        monkeypatch.setattr("sensors.asking_again.AGAIN_AFTER_S", 0.0)
        assert [again.run_key for again in _tick(parts, instance)] == [f"{request.run_key}:1"]


def _tick(parts: dg.Definitions, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    resources = {name: parts.resources[name] for name in ("catalog", "database")}
    with dg.build_sensor_context(instance=instance, definitions=parts, resources=resources) as context:
        data = cast(dg.SensorResult, batch_files(context))
    for wanted in data.dynamic_partitions_requests or ():
        instance.add_dynamic_partitions("tasks", wanted.partition_keys)
    return list(data.run_requests or ())
