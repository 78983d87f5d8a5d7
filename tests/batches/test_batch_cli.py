"""`promptory batch`, from a file to results, for people and programs."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from batches.conftest import NOW
from cli.conftest import Workshop
from upath import UPath

from domain.task import BudgetSpec, Task
from resources.batch_inference.intake import Intake
from resources.batch_inference.sources import FileSource
from resources.catalog.catalog import Catalog
from resources.database.repositories import prompt_versions, tasks
from resources.database.session import open_database
from resources.evaluation.steering import promote_by_hand


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upgraded_file: Path) -> Workshop:
    """A workshop whose task has a prompt in production."""
    for name in ("DAGSTER_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("LANDING", "STORAGE", "DATABASE_URL", "STATE_URL", "CONFIG", "BATCHES"):
        monkeypatch.delenv(f"PROMPTORY_{name}", raising=False)
    monkeypatch.setenv("PROMPTORY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROMPTORY_CATALOG", str(tmp_path / "catalog"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "catalog" / "tasks").mkdir(parents=True)
    made = Workshop(tmp_path)
    made.write_task()
    (tmp_path / "home").mkdir()
    shutil.copyfile(upgraded_file, tmp_path / "home" / "promptory.db")
    put_into_production(made, tickets(made))
    return made


def tickets(shop: Workshop) -> Task:
    return Catalog(shop.root / "catalog", {}).get("tickets").task


def put_into_production(shop: Workshop, task: Task) -> None:
    database = open_database(f"sqlite:///{shop.root / 'home' / 'promptory.db'}")
    with database.session() as session:
        tasks.upsert_task(session, task, source_path="tickets.yaml", now=NOW)
        prompt_versions.register(session, task.name, task.prompt.version(), created_by="author", now=NOW)
    promote_by_hand(database, task.name, "v1", "production", by="me", reason="first", now=datetime.now(UTC))
    database.dispose()


def test_a_file_is_added_run_shown_and_exported(shop: Workshop):
    rows = "\n".join(f"{number},My card was charged twice for {number}" for number in range(30))
    (shop.root / "in.csv").write_text(f"ticket,text\n{rows}\n")

    added = shop.run("batch", "add", "tickets", "in.csv", "--key", "ticket", "--chunk-rows", "7", "--json").value
    batch = added["batches"][0]["batch"]
    assert (added["batches"][0]["new"], added["batches"][0]["rows"]) == (True, 30)
    assert shop.run("batch", "list", "--json").value["batches"][0]["state"] == "pending"

    ran = shop.run("batch", "run", batch[:8], "--json")
    assert ran.code == 0
    assert ran.value["batches"][0]["by_status"]["ok"] == 30
    assert "30 of 30" in shop.run("batch", "show", batch[:8]).out
    again = shop.run("batch", "add", "tickets", "in.csv", "--key", "ticket", "--run", "--json").value
    assert (again["batches"][0]["new"], again["batches"][0]["state"]) == (False, "done")

    for suffix in ("csv", "jsonl", "parquet"):
        written = shop.run("batch", "results", batch, "--to", f"out.{suffix}", "--json").value
        assert (written["rows"], written["of"]) == (30, 30)
    lines = [json.loads(line) for line in (shop.root / "out.jsonl").read_text().splitlines()]
    assert [line["key"] for line in lines] == [str(number) for number in range(30)]
    assert len((shop.root / "out.csv").read_text().splitlines()) == 31
    assert "billing" in shop.run("batch", "results", batch, "--limit", "2").out


def test_batches_of_two_tasks_keep_to_the_cap_of_each(shop: Workshop):
    poor = tickets(shop).model_copy(update={"name": "poor", "budget": BudgetSpec.model_validate({"total_usd": "1e-8"})})
    put_into_production(shop, poor)
    database = open_database(f"sqlite:///{shop.root / 'home' / 'promptory.db'}")
    intake = Intake(database, UPath(shop.root / "home" / "storage"))
    added: list[str] = []
    for task in (tickets(shop), poor):
        (shop.root / "in.csv").write_text(f"text\nMy parcel from {task.name} is late\n")  # else the cache has it
        added.append(intake.take_in(task, FileSource(UPath(shop.root / "in.csv")), NOW).record.id)
    database.dispose()

    ran = shop.run("batch", "run", *added, "--json")
    assert ran.code == 1
    first, second = ran.value["batches"]
    assert (first["task"], first["state"]) == ("tickets", "done")
    assert (second["task"], second["state"]) == ("poor", "paused")
    assert "task:poor" in second["reason"]


def test_pausing_resuming_and_cancelling(shop: Workshop):
    (shop.root / "in.csv").write_text("text\nMy parcel is late\n")
    batch = shop.run("batch", "add", "tickets", "in.csv", "--json").value["batches"][0]["batch"]

    assert shop.run("batch", "pause", batch, "--json").value["state"] == "paused"
    assert shop.run("batch", "run", "--task", "tickets", "--json").value["batches"] == []
    assert shop.run("batch", "resume", batch, "--json").value["state"] == "pending"
    assert shop.run("batch", "run", "--task", "tickets", "--json").value["batches"][0]["state"] == "done"
    refused = shop.run("batch", "cancel", batch)
    assert refused.code == 2
    assert "is done already" in refused.err


def test_rows_come_from_a_query_whose_url_is_never_kept(shop: Workshop, monkeypatch: pytest.MonkeyPatch):
    import sqlite3

    with sqlite3.connect(shop.root / "warehouse.db") as connection:
        connection.execute("CREATE TABLE tickets (id INTEGER, text TEXT)")
        connection.executemany("INSERT INTO tickets VALUES (?, ?)", [(n, f"Refund order {n}") for n in range(5)])
    connection.close()
    monkeypatch.setenv("WAREHOUSE_URL", f"sqlite:///{shop.root / 'warehouse.db'}")
    query = "SELECT id, text FROM tickets ORDER BY id"
    arguments = ("--query", query, "--url-variable", "WAREHOUSE_URL", "--key", "id", "--run", "--json")
    ran = shop.run("batch", "add", "tickets", *arguments)

    assert ran.value["batches"][0]["summary"]["by_status"]["ok"] == 5
    assert ran.value["batches"][0]["source"] == {"kind": "query", "query": query, "variable": "WAREHOUSE_URL"}
    secret = shop.run("batch", "add", "tickets", "--query", query, "--url", "postgresql://me:secret@host/db")
    assert secret.code == 2
    assert "secret" not in secret.err
    assert "environment variable" in secret.err


def test_errors_name_file_and_mend(shop: Workshop):
    (shop.root / "in.csv").write_text("other\n1\n2\n")
    missing = shop.run("batch", "add", "tickets", "in.csv")
    assert missing.code == 2
    odd = shop.run("batch", "add", "tickets", "in.csv", "--cap", "much")
    assert odd.code == 2
    assert "[cap_usd]" in odd.err
    assert "in.csv" in missing.err
    assert "text: the field is missing" in missing.err
    assert shop.run("batch", "add", "tickets", "nowhere.csv").code == 2
    assert "unknown batch format" in shop.run("batch", "add", "tickets", "in.docx").err
    assert "batch.query" in shop.run("batch", "add", "tickets").err
    assert shop.run("batch", "show", "abcdef12").code == 2
