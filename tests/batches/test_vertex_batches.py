"""The same batches through Vertex AI: the real job service client and the real storage client, over REST."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from batches.conftest import PRICE, Floor, label_of, task_of, write_csv
from batches.provider_steps import charged, jobs_of, run_to_the_end, scopes_of
from servers.billing import Tariff
from servers.vertex_batch_server import VertexBatchServer, VertexPlan

from domain.errors import ConfigurationError
from resources.database.session import open_database
from resources.llm.endpoints import Endpoints
from resources.llm.settings import CoreSettings, EndpointSettings

MODEL = "vertex/gemini-2.5-flash"


def number_of(request: dict[str, Any]) -> int:
    return int(request["contents"][-1]["parts"][0]["text"].rpartition(" ")[2])


class VertexFloor(Floor):
    """A floor whose provider is Vertex AI."""

    vertex: VertexBatchServer

    def __post_init__(self) -> None:
        pass

    def settings(self, **more: Any) -> CoreSettings:
        values = {"endpoints": {"vertex": self.vertex.endpoint}, "prices": {MODEL: PRICE}, **more}
        return CoreSettings.parse(
            {"state": f"sqlite:///{self.folder / 'state.db'}", "ledger": self.ledger_url, **values}
        )


@pytest.fixture
def vertex() -> Iterator[VertexBatchServer]:
    tariffs = {"gemini-2.5-flash": Tariff(PRICE["input_per_million"], PRICE["output_per_million"])}
    with VertexBatchServer(lambda request: label_of(number_of(request)), tariffs) as running:
        yield running


@pytest.fixture
def hall(tmp_path: Path, vertex: VertexBatchServer, upgraded_file: Path) -> Iterator[VertexFloor]:
    shutil.copyfile(upgraded_file, tmp_path / "promptory.db")
    database = open_database(f"sqlite:///{tmp_path / 'promptory.db'}")
    url = f"sqlite:///{tmp_path / 'promptory.db'}"
    made = VertexFloor(tmp_path, database, vertex, task_of(MODEL), url)  # type: ignore[arg-type]
    made.vertex = vertex
    made.promote()
    yield made
    database.dispose()


def add(hall: Floor, rows: int, **changes: Any):
    path = write_csv(hall.folder / "in.csv", range(rows))
    return hall.add(path, **{"how": "provider", "chunk_rows": 10, "rest": "provider", **changes}).record


def test_rows_are_answered_over_cloud_storage_at_half_price(hall: VertexFloor, vertex: VertexBatchServer):
    vertex.plans = lambda number: VertexPlan(refused=frozenset({3})) if number == 1 else VertexPlan()
    batch = add(hall, 25, retry_rounds=0)
    assert hall.run(batch.id).state == "waiting"
    assert {job.values["labels"]["promptory_job"] for job in vertex.jobs.values()} == {
        job.id for job in jobs_of(hall, batch.id)
    }
    done, _ = run_to_the_end(hall, batch.id)
    rows = hall.results(batch.id)
    assert done.state == "done"
    assert [row["row"] - 1 for row in rows if row["status"] != "ok"] == [13]
    assert {row["value"] == label_of(row["row"] - 1) for row in rows if row["status"] == "ok"} == {True}
    assert len(vertex.invoice) == 24
    assert charged(hall).spent_nano_usd == vertex.invoice_nano_usd() > 0
    assert charged(hall).ambiguous_nano_usd == 0
    assert not vertex.blobs, "the job's folder is removed once it is settled"
    assert asyncio.run(scopes_of(hall))["task:crates"].reserved_nano_usd == 0


def test_a_job_cut_short_goes_on_in_another(hall: VertexFloor, vertex: VertexBatchServer):
    vertex.plans = lambda number: VertexPlan("EXPIRED", answered=6) if number == 0 else VertexPlan()
    batch = add(hall, 10)
    done, _ = run_to_the_end(hall, batch.id)
    assert done.state == "done"
    assert sorted(map(number_of, vertex.requests)) == list(range(10))
    assert charged(hall).spent_nano_usd == vertex.invoice_nano_usd()


def test_a_creation_nobody_heard_of_is_found_by_its_label(hall: VertexFloor, vertex: VertexBatchServer):
    vertex.cut_create = True
    batch = add(hall, 10)
    paused = hall.run(batch.id)
    vertex.cut_create = False
    assert (paused.state, paused.pause_kind) == ("paused", "provider")
    done, _ = run_to_the_end(hall, batch.id)
    assert done.state == "done"
    assert len(vertex.jobs) == 1
    assert len(vertex.invoice) == 10


def test_a_folder_is_needed_and_options_are_checked(vertex: VertexBatchServer):
    plain = {name: value for name, value in vertex.endpoint.items() if name != "options"}
    with pytest.raises(ConfigurationError, match="batch_folder"):
        Endpoints({"vertex": EndpointSettings(**plain)}, None).batch_api(MODEL)
    with pytest.raises(ConfigurationError, match="options"):
        Endpoints({"vertex": EndpointSettings(**plain, options={"batch_folder": "s3://x"})}, None).of(MODEL)
