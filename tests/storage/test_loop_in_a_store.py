"""Storage root, landing folder and batch folder in an object store: the loop, batches, metrics, retention."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest
from loop.workplace import LOOP, TASK, Example, Workplace, csv_text, task_values
from upath import UPath

from assets.batch_inference.batch_predictions import batch_predictions
from assets.costs.budgets import budgets
from assets.costs.call_log import call_log
from assets.costs.evaluation_history import evaluation_history
from assets.costs.production_history import production_history
from assets.costs.reconciliation import ledger_equals_marts
from assets.datasets.dataset import dataset
from assets.dbt_metrics import build_dbt_metrics
from assets.prompts.prompt_version import prompt_version
from jobs.ingest import ingest
from jobs.predict_batches import predict_batches
from orchestration.resource_definitions import build_resources
from orchestration.task_resources import build_task_resources
from resources.batch_inference.reading import BatchResults
from resources.database.repositories import batches, ledger_days
from resources.lineage.call_trace import trace_call
from resources.metrics.dbt_project import prepare_manifest
from resources.metrics.reconciliation import mart_sums
from resources.storage.atomic import write_atomically
from resources.storage.call_log import collect_day
from resources.storage.compaction import compact_day
from sensors.batch_files import batch_files
from sensors.catalog_files import catalog_files

pytestmark = pytest.mark.slow


def put(path: UPath, text: str) -> None:
    write_atomically(path, lambda stream: stream.write(text.encode()))


@pytest.fixture
def bucket(request: pytest.FixtureRequest) -> UPath:
    """On the S3 server, or with `PROMPTORY_OBJECT_STORE=gcs` on that of Google Cloud Storage."""
    return request.getfixturevalue(f"{os.environ.get('PROMPTORY_OBJECT_STORE', 's3')}_root")


@pytest.fixture
def place(tmp_path: Path, bucket: UPath, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    for name in ("DAGSTER_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("storage", "landing", "batches"):
        monkeypatch.setenv(f"PROMPTORY_{name.upper()}", str(bucket / name))
    monkeypatch.chdir(tmp_path)
    made = Workplace(tmp_path)
    made.write_rows([Example(number) for number in range(40)])
    made.write_task(task_values(batch={"concurrency": 8, "chunk_rows": 10}))
    return made.prepare()


@pytest.fixture
def watching(place: Workplace) -> dg.Definitions:
    return dg.Definitions(
        assets=[dataset, prompt_version, batch_predictions],
        jobs=[ingest, predict_batches],
        sensors=[catalog_files, batch_files],
        resources=build_task_resources(place.environment),
        executor=dg.in_process_executor,
    )


class Ticks:
    """The two sensors, each with its cursor."""

    def __init__(self, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self._definitions, self._instance = definitions, instance
        self._cursors: dict[str, str | None] = {}

    def __call__(self, sensor: dg.SensorDefinition) -> list[dg.RunRequest]:
        resources = {name: self._definitions.resources[name] for name in ("catalog", "database")}
        with dg.build_sensor_context(
            instance=self._instance,
            cursor=self._cursors.get(sensor.name),
            definitions=self._definitions,
            resources=resources,
        ) as context:
            result = sensor(context)
        assert isinstance(result, dg.SensorResult)
        self._cursors[sensor.name] = result.cursor
        for wanted in result.dynamic_partitions_requests or ():
            self._instance.add_dynamic_partitions("tasks", cast(Any, wanted).partition_keys)
        return list(result.run_requests or ())


@pytest.fixture
def ticks(place: Workplace, watching: dg.Definitions) -> Iterator[Ticks]:
    with place.instance() as instance:
        yield Ticks(watching, instance)


@pytest.mark.usefixtures("one_day")
def test_all_of_it_works_there(place: Workplace, bucket: UPath, ticks: Ticks, watching: dg.Definitions) -> None:
    put(bucket / "landing" / TASK / "more.csv", csv_text([Example(number) for number in range(100, 110)]))
    assert [request.partition_key for request in ticks(catalog_files)] == [TASK]
    assert place.run(*LOOP).materialized[-1] == "promotion"
    assert ticks(catalog_files) == []
    put(bucket / "landing" / TASK / "more.csv", csv_text([Example(number) for number in range(101, 111)]))
    (again,) = ticks(catalog_files)
    assert [key.to_user_string() for key in again.asset_selection or ()] == ["dataset"]

    answered = _answer_batches(place, bucket, ticks, watching)
    _give_days_to_the_store(place, bucket, call_id=answered)
    kept = {path.name for path in place.home.iterdir()}
    assert not kept & {"storage", "landing", "batches"}


def _answer_batches(place: Workplace, bucket: UPath, ticks: Ticks, watching: dg.Definitions) -> str:
    """Drain a folder of files; the id of one of the calls."""
    folder = bucket / "batches" / TASK
    put(folder / "a.csv", "text\n" + "".join(f"{Example(number).text}\n" for number in range(200, 225)))
    put(folder / "b.jsonl", "".join(json.dumps({"text": Example(n).text}) + "\n" for n in range(300, 305)))
    put(folder / "bad.csv", "other\n1\n")
    put(folder / "_under_way.csv", "text\nnot yet\n")
    (request,) = ticks(batch_files)
    assert request.tags["promptory/batch_files"] == "3"
    with place.instance() as instance:
        job = watching.resolve_job_def("predict_batches")
        result = job.execute_in_process(instance=instance, partition_key=TASK)
    metadata = result.asset_materializations_for_node("batch_predictions")[0].metadata
    assert (metadata["files_taken_in"].value, metadata["files_refused"].value) == (2, 1)
    assert ticks(batch_files) == []

    root = UPath(bucket / "storage")
    with place.database() as database:
        with database.session(read_only=True) as session:
            done = batches.list_batches(session, states=["done"])
        rows = [row for one in done for row in BatchResults(database, root, one.id).rows()]
    assert [row["status"] for row in rows] == ["ok"] * 30
    return str(rows[0]["call_id"])


def _give_days_to_the_store(place: Workplace, bucket: UPath, call_id: str) -> None:
    """Copy the ledger's day, build the marts from there, remove the day from the database; nothing is lost."""
    prepared = prepare_manifest(place.home)
    resources = build_resources(place.environment, prepared)
    today = datetime.now(UTC).date()
    root = bucket / "storage"
    tables = [evaluation_history, production_history, budgets, build_dbt_metrics(prepared), ledger_equals_marts]
    with place.instance() as instance:
        dg.materialize([call_log], resources=resources, instance=instance, partition_key=today.isoformat())
        built = dg.materialize(tables, resources=resources, instance=instance)
    failed = [one.check_name for one in built.get_asset_check_evaluations() if not one.passed]
    assert built.success
    assert not failed

    with place.database() as database, resources["metrics"].connect() as marts:
        with database.session(read_only=True) as session:
            (exported,) = ledger_days.exported_days(session)
        compacted = compact_day(database, root, mart_sums(marts), exported, datetime.now(UTC))
        assert compacted.kept_because is None
        assert compacted.removed_calls == exported.calls > 30
        assert trace_call(database, root, call_id).money.call.call_id == call_id
        again = collect_day(database, root, today, datetime.now(UTC))
    assert (again.calls.rows, again.cost_nano_usd) == (exported.calls, exported.cost_nano_usd)
