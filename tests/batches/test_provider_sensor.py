"""Dagster's part: the run hands over and ends, the sensor looks, and asks for one run when a job has ended."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest
from batches.conftest import NOW
from loop.workplace import KEY_VARIABLE, TARIFFS, TASK, Example, Workplace, over_http, task_values
from servers.openai_batch_server import OpenAIBatchServer
from typer.testing import CliRunner

from assets.batch_inference.batch_predictions import batch_predictions
from domain.task import Task
from jobs.predict_batches import predict_batches
from orchestration.cli import app
from orchestration.cli.views import batch_running
from orchestration.task_resources import build_task_resources
from resources.database.repositories import batches, prompt_versions, provider_jobs, tasks
from resources.evaluation.steering import promote_by_hand
from sensors.batch_files import batch_files
from sensors.provider_batches import provider_batches

BATCH = {"how": "provider", "poll_s": 1}


@pytest.fixture
def provider() -> Iterator[OpenAIBatchServer]:
    with OpenAIBatchServer(lambda _body: "attic", TARIFFS) as running:
        yield running


@pytest.fixture
def place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upgraded_file: Path, provider: OpenAIBatchServer
) -> Workplace:
    """A task in production whose batches go to the provider's batch API."""
    for name in ("DAGSTER_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    made = Workplace(tmp_path, settings=over_http(provider))
    values = task_values(model="openai/scripted", batch=BATCH)
    for name, value in made.variables().items():
        if name.startswith(("PROMPTORY_", KEY_VARIABLE)):
            monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    made.write_rows([Example(0)])
    made.write_task(values)
    made.home.mkdir()
    shutil.copyfile(upgraded_file, made.home / "promptory.db")
    made.prepare()
    with made.database() as database:
        with database.session() as session:
            task = Task.model_validate(values)
            tasks.upsert_task(session, task, source_path="crates.yaml", now=NOW)
            prompt_versions.register(session, TASK, task.prompt.version(), created_by="author", now=NOW)
        promote_by_hand(database, TASK, "v1", "production", by="test", reason="test", now=NOW)
    return made


def parts_of(place: Workplace) -> dg.Definitions:
    return dg.Definitions(
        assets=[batch_predictions],
        jobs=[predict_batches],
        sensors=[batch_files, provider_batches],
        resources=build_task_resources(place.environment),
        executor=dg.in_process_executor,
    )


def tick(parts: dg.Definitions, instance: dg.DagsterInstance, sensor: Any, names: tuple[str, ...]):
    assert parts.resources is not None
    resources = {name: parts.resources[name] for name in names}
    with dg.build_sensor_context(instance=instance, definitions=parts, resources=resources) as context:
        return cast(dg.SensorResult, sensor(context))


def command(*arguments: str) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.stdout)


def test_no_run_waits_for_a_provider(place: Workplace, provider: OpenAIBatchServer):
    (place.root / "in.csv").write_text("text\n" + "".join(f"{Example(number).text}\n" for number in range(12)))
    added = command("batch", "add", TASK, "in.csv")["batches"][0]
    assert added["options"]["how"] == "provider"
    parts = parts_of(place)
    resolved = parts.resolve_job_def("predict_batches")
    with place.instance() as instance:
        instance.add_dynamic_partitions("tasks", [TASK])
        first = resolved.execute_in_process(instance=instance, partition_key=TASK)
        assert first.success
        metadata = first.asset_materializations_for_node("batch_predictions")[0].metadata
        assert metadata["batches_waiting"].value == 1
        assert tick(parts, instance, batch_files, ("catalog", "database")).run_requests == []
        shown = command("batch", "show", added["batch"])
        (job,) = shown["provider_jobs"]
        assert (job["state"], job["rows"], job["provider_job"]) == ("submitted", 12, "batch_000000")
        assert float(job["at_most_direct_usd"]) == 2 * float(job["at_most_usd"]) > 0
        assert "batch_000000" in CliRunner().invoke(app, ["batch", "show", added["batch"]]).stdout

        requests = []
        for _ in range(6):
            _look_is_due(place, added["batch"])
            requests += tick(parts, instance, provider_batches, ("catalog", "database", "llm")).run_requests or []
        assert [request.partition_key for request in requests] == [TASK]
        second = resolved.execute_in_process(instance=instance, partition_key=TASK)
        told = second.asset_materializations_for_node("batch_predictions")[0].metadata
        assert (told["batches_done"].value, told["calls"].value, told["cached_calls"].value) == (1, 12, 0)
        assert told["cost_usd"].value == told["batches_cost_usd"].value == provider.invoice_nano_usd() / 1e9
        assert len(instance.all_logs(second.run_id)) < 50, "no event per row"
    assert provider.requests == []
    assert len(provider.invoice) == 12


def _look_is_due(place: Workplace, batch_id: str) -> None:
    """As if the time between two looks had passed."""
    from sqlalchemy import update

    from resources.database.tables import ProviderJobRow

    with place.database() as database, database.session() as session:
        assert batches.get(session, batch_id).settings.poll_s == 1
        assert provider_jobs.of_batch(session, batch_id)
        session.execute(update(ProviderJobRow).values(seen_at=NOW, changed_at=NOW))


def test_the_command_tells_where_there_is_no_batch_api(place: Workplace):
    (place.root / "in.csv").write_text("text\nMy crate\n")
    place.write_task(task_values(model="offline/nearest"))
    with place.database() as database, database.session() as session:
        tasks.upsert_task(session, Task.model_validate(task_values()), source_path="crates.yaml", now=NOW)
    told = CliRunner().invoke(app, ["batch", "add", TASK, "in.csv", "--how", "provider"])
    assert told.exit_code == 2
    assert "no batch API" in told.stderr


def test_a_person_without_dagster_can_wait(
    place: Workplace, provider: OpenAIBatchServer, monkeypatch: pytest.MonkeyPatch
):
    waited: list[int] = []

    async def second() -> None:
        waited.append(len(provider.log))

    monkeypatch.setattr(batch_running, "_second", second)
    (place.root / "in.csv").write_text("text\nMy first crate\nMy second crate\n")
    batch = command("batch", "add", TASK, "in.csv", "--run")["batches"][0]["batch"]
    (job,) = command("batch", "show", batch)["provider_jobs"]
    for refused in (("adopt", batch, job["job"], "--provider-job", "x"), ("write-off", batch, job["job"])):
        told = CliRunner().invoke(app, ["batch", *refused])
        assert told.exit_code == 2
        assert "not put aside" in told.stderr
    ran = command("batch", "run", batch, "--wait")["batches"][0]
    assert ran["state"] == "done"
    assert len(set(waited)) == len(waited) >= 2


def test_the_command_tells_what_is_next_after_a_decision(place: Workplace, provider: OpenAIBatchServer):
    (place.root / "in.csv").write_text("text\nMy crate\n")
    batch = command("batch", "add", TASK, "in.csv", "--run")["batches"][0]["batch"]
    known, theirs = dict(provider.jobs), "batch_000000"
    provider.jobs.clear()
    with place.instance() as instance:  # puts the job aside, while the batch still waits for it
        _look_is_due(place, batch)
        tick(parts_of(place), instance, provider_batches, ("catalog", "database", "llm"))
    (job,) = command("batch", "show", batch)["provider_jobs"]
    provider.jobs.update(known)

    decision = ["batch", "adopt", batch, job["job"], "--provider-job", theirs]
    told = CliRunner().invoke(app, decision)

    assert "goes on by itself" in told.stdout
    assert command("batch", "show", batch)["state"] == "waiting"


def test_the_command_tells_to_resume_a_batch_that_rests(place: Workplace, provider: OpenAIBatchServer):
    (place.root / "in.csv").write_text("text\nMy crate\n")
    batch = command("batch", "add", TASK, "in.csv", "--run")["batches"][0]["batch"]
    provider.jobs.clear()
    assert command("batch", "run", batch)["batches"][0]["pause_kind"] == "quarantine"
    (job,) = command("batch", "show", batch)["provider_jobs"]

    told = CliRunner().invoke(app, ["batch", "write-off", batch, job["job"]])

    assert f"promptory batch resume {batch}" in told.stdout
    assert command("batch", "resume", batch)["state"] == "pending"


def test_a_job_of_a_cancelled_batch_is_given_up(place: Workplace, provider: OpenAIBatchServer):
    (place.root / "in.csv").write_text("text\nMy crate\n")
    batch = command("batch", "add", TASK, "in.csv", "--run")["batches"][0]["batch"]
    provider.jobs.clear()
    assert command("batch", "run", batch)["batches"][0]["pause_kind"] == "quarantine"
    assert command("batch", "cancel", batch)["state"] == "cancelled"
    (job,) = command("batch", "show", batch)["provider_jobs"]
    told = CliRunner().invoke(app, ["batch", "write-off", batch, job["job"]])
    assert told.exit_code == 0
    assert "is closed" in told.stdout
    assert "at its end: nothing is asked again" in told.stdout
