"""Batches from a file to results: order, contracts, retries, dead letters, and nothing paid for twice."""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest
from batches.conftest import LABELS, NOW, Floor, label_of, number_in, write_csv
from servers.openai_server import Fault

from domain.batch import options
from domain.errors import ConflictError, NotFoundError
from resources.batch_inference import steering
from resources.batch_inference.intake import Wish
from resources.batch_inference.reading import BatchResults
from resources.database.repositories import spending
from resources.llm import open_client


def test_every_row_is_answered_once_and_in_order(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(35)), keep_inputs=True).record
    done = floor.run(batch.id)

    rows = floor.results(batch.id)
    assert done.state == "done"
    assert [row["row"] for row in rows] == list(range(1, 36))
    assert [row["key"] for row in rows] == [f"c{number}" for number in range(35)]
    assert [row["value"] for row in rows] == [label_of(number) for number in range(35)]
    assert [row["input_text"] for row in rows] == [f"Crate number {number}" for number in range(35)]
    assert {row["status"] for row in rows} == {"ok"}
    assert len({row["call_id"] for row in rows}) == 35
    assert sum(row["cost_nano_usd"] for row in rows) == floor.server.invoice_nano_usd()
    assert sorted(floor.asked()) == list(range(35))
    assert done.summary["by_status"]["ok"] == 35
    manifest = json.loads((floor.root / "batches" / batch.id / "manifest.json").read_text())
    assert [part["rows"] for part in manifest["parts"]] == [10, 10, 10, 5]


def test_the_same_rows_are_the_same_batch_whatever_their_file(floor: Floor, tmp_path: Path):
    first = floor.add(write_csv(tmp_path / "in.csv", range(12)))
    floor.run(first.record.id)
    lines = [json.dumps({"text": f"Crate number {number}", "crate": f"c{number}"}) for number in range(12)]
    (tmp_path / "again.jsonl").write_text("\n".join(lines))
    second = floor.add(tmp_path / "again.jsonl")
    floor.run(second.record.id)

    assert first.is_new
    assert not second.is_new
    assert second.record.id == first.record.id
    assert len(floor.asked()) == 12

    third = floor.add(tmp_path / "in.csv", wish=Wish(floor.options, again=True))
    floor.run(third.record.id, floor.settings(cache={"enabled": False}))
    assert third.is_new
    assert len(floor.asked()) == 24


def test_unusable_rows_stop_no_batch_and_are_listed(floor: Floor, tmp_path: Path):
    lines = [
        b'{"text": "Crate number 0"}',
        b'{"texts": "no such field"}',
        b"{broken",
        b'{"text": {"an": "object"}}',
        b'{"text": "Crate \xff number 4"}',
        b'{"text": "Crate number 5"}',
    ]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    batch = floor.add(tmp_path / "in.jsonl", key=None, max_rejected=0.8).record
    floor.run(batch.id)

    rows = floor.results(batch.id)
    assert [row["status"] for row in rows] == ["ok", "rejected", "rejected", "rejected", "rejected", "ok"]
    assert "missing" in rows[1]["reason"]
    assert sorted(floor.asked()) == [0, 5]
    letters = floor.dead_letters(batch.id)
    assert [letter["_promptory"]["source_row"] for letter in letters] == [2, 3, 4, 5]


def test_rows_that_fail_are_asked_again_and_then_listed(floor: Floor, tmp_path: Path):
    def fault(_index: int, body: dict) -> Fault | None:
        number = number_in(body)
        tries = sum(number_in(other) == number for other in floor.server.requests)
        if number == 3 or (number == 7 and tries <= 1):
            return Fault(status=400, error={"message": "not this one"})
        return None

    floor.server.faults = fault
    batch = floor.add(write_csv(tmp_path / "in.csv", range(25))).record
    done = floor.run(batch.id)

    rows = floor.results(batch.id)
    assert done.state == "done"
    assert [row["row"] - 1 for row in rows if row["status"] != "ok"] == [3]
    assert (rows[3]["status"], rows[3]["rounds"]) == ("failed", 2)
    assert (rows[7]["status"], rows[7]["rounds"]) == ("ok", 2)
    assert rows[3]["call_id"] is not None
    assert sorted(floor.asked()) == sorted([*range(25), 3, 7])
    parts = sorted(path.name for path in (floor.root / "batches" / batch.id / "results").iterdir())
    assert len(parts) == 3

    letters = floor.dead_letters(batch.id)
    assert [(letter["text"], letter["crate"]) for letter in letters] == [("Crate number 3", "c3")]
    floor.server.faults = lambda _index, _body: None
    retried = steering.retry(floor.database, floor.root, batch.id, NOW)
    assert retried.record.parent_id == batch.id
    floor.run(retried.record.id)
    assert [(row["key"], row["source_row"], row["status"]) for row in floor.results(retried.record.id)] == [
        ("c3", 4, "ok")
    ]
    assert not steering.retry(floor.database, floor.root, batch.id, NOW).is_new


@pytest.mark.parametrize("is_named", [True, False])
def test_dead_letters_are_asked_by_the_prompt_that_a_person_named(floor: Floor, tmp_path: Path, is_named: bool):
    named = floor.task.prompt.version().id
    floor.server.faults = lambda _index, _body: Fault(status=400, error={"message": "not this one"})
    wish = Wish(floor.options.model_copy(update={"retry_rounds": 0}), prompt_version_id=named if is_named else None)
    batch = floor.add(write_csv(tmp_path / "in.csv", range(3)), wish=wish).record
    assert floor.run(batch.id).prompt_version_id == named
    letters = steering.retry(floor.database, floor.root, batch.id, NOW).record
    assert letters.prompt_version_id == (named if is_named else None)
    floor.run(letters.id)
    again = steering.retry(floor.database, floor.root, letters.id, NOW).record
    assert again.prompt_version_id == letters.prompt_version_id


def test_results_can_be_read_while_a_further_round_replaces_them(floor: Floor, tmp_path: Path):
    begun: list[BatchResults] = []

    def fault(_index: int, body: dict) -> Fault | None:
        if number_in(body) != 3:
            return None
        if floor.asked().count(3) > 1:
            begun.append(BatchResults(floor.database, floor.root, batch.id))
            return None
        return Fault(status=400, error={"message": "not now"})

    floor.server.faults = fault
    batch = floor.add(write_csv(tmp_path / "in.csv", range(5))).record
    floor.run(batch.id)
    (reading,) = begun
    assert reading.batch.state == "running"
    assert list(reading.rows()) == floor.results(batch.id)
    assert [row["status"] for row in reading.rows()] == ["ok"] * 5

    (part,) = (floor.root / "batches" / batch.id / "results").iterdir()
    part.unlink()
    with pytest.raises(NotFoundError, match="is gone") as caught:
        list(reading.rows())
    assert "--again" not in (caught.value.mend or "")
    with pytest.raises(NotFoundError) as caught:
        floor.results(batch.id)
    assert "paid once more" in (caught.value.mend or "")


def test_an_answer_that_breaks_its_contract_is_invalid_and_paid_once(floor: Floor, tmp_path: Path):
    floor.server.behaviour = lambda body: "the roof" if number_in(body) == 2 else LABELS[0]
    batch = floor.add(write_csv(tmp_path / "in.csv", range(5))).record
    floor.run(batch.id)

    row = floor.results(batch.id)[2]
    assert (row["status"], row["output"], row["value"]) == ("invalid", "the roof", None)
    assert len(floor.asked()) == 5


def test_a_spent_budget_pauses_and_a_higher_one_goes_on(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(30))).record
    paused = floor.run(batch.id, floor.settings(budgets={"task:crates": "0.00005"}))
    spent = floor.server.invoice_nano_usd()

    assert (paused.state, paused.pause_kind) == ("paused", "budget")
    assert "task:crates" in (paused.reason or "")
    assert paused.resume_at is not None
    assert 0 < spent <= 50_000

    done = floor.run(batch.id, floor.settings(budgets={"task:crates": "1"}))
    assert done.state == "done"
    assert sorted(floor.asked()) == list(range(30))
    assert done.repeats == []


def test_a_batch_keeps_to_its_own_cap(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(30)), cap_usd=Decimal("0.00005")).record
    paused = floor.run(batch.id)
    assert (paused.state, paused.pause_kind) == ("paused", "budget")
    assert 0 < floor.server.invoice_nano_usd() <= 50_000


def test_a_refused_key_pauses_for_a_person_and_costs_no_row(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(30))).record
    floor.server.api_key = "another"
    endpoint = {"base_url": floor.server.base_url, "api_key": "wrong"}
    paused = floor.run(batch.id, floor.settings(endpoints={"openai": endpoint}))
    assert (paused.state, paused.pause_kind) == ("paused", "refused")
    floor.server.api_key = "test-key"
    assert floor.run(batch.id).state == "done"
    assert {row["status"] for row in floor.results(batch.id)} == {"ok"}


def test_a_batch_that_fails_from_the_start_does_not_burn_through_the_file(floor: Floor, tmp_path: Path):
    floor.server.faults = lambda _index, _body: Fault(status=400, error={"message": "no such model"})
    batch = floor.add(write_csv(tmp_path / "in.csv", range(400))).record
    paused = floor.run(batch.id)
    assert (paused.state, paused.pause_kind) == ("paused", "failures")
    assert len(floor.asked()) < 150


async def test_the_prompt_is_pinned_at_the_start(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(30))).record
    first = floor.task.prompt.version().id
    async with floor.worker() as worker:
        with floor.held():
            running = asyncio.create_task(worker.run(batch.id))
            await floor.first_request()
            worker.interrupt("enough for now")
        paused = await running
    assert (paused.state, paused.pause_kind) == ("paused", "interrupted")
    other = floor.task.model_dump(mode="json")
    other["prompt"]["steps"][0]["system_prompt"] = "Another prompt."
    floor.promote(type(floor.task).model_validate(other))
    async with floor.worker() as worker:
        done = await worker.run(batch.id)
    assert done.state == "done"
    assert {row["prompt_version_id"] for row in floor.results(batch.id)} == {first}
    assert sorted(floor.asked()) == list(range(30))


async def test_two_workers_never_have_one_batch(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(20))).record
    async with floor.worker(lease_s=600) as worker, floor.worker() as other:
        with floor.held():
            running = asyncio.create_task(worker.run(batch.id))
            await floor.first_request()
            with pytest.raises(ConflictError, match="being worked on"):
                await other.run(batch.id)
            steering.pause(floor.database, batch.id, NOW)
        await running
    assert sorted(floor.asked()) == list(range(20))


def test_the_ledger_is_the_invoice(floor: Floor, tmp_path: Path):
    batch = floor.add(write_csv(tmp_path / "in.csv", range(20))).record
    floor.run(batch.id)
    with floor.database.session(read_only=True) as session:
        money = spending.totals(session)
    assert money.spent_nano_usd == floor.server.invoice_nano_usd()


@pytest.mark.parametrize(("cache", "most", "stored"), [(None, 30, 20), (None, 10, 0), ("read", 30, 0), ("off", 30, 0)])
def test_a_large_batch_drives_nobodys_answers_out(
    floor: Floor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cache: str | None, most: int, stored: int
):
    monkeypatch.setattr(options, "MOST_ROWS_IN_CACHE", most)
    batch = floor.add(write_csv(tmp_path / "in.csv", range(20)), cache=cache).record

    async def work() -> int:
        async with floor.worker() as worker:
            assert (await worker.run(batch.id)).state == "done"
        async with open_client(floor.settings()) as client:
            return (await client.cache_stats()).entries

    assert asyncio.run(work()) == stored
    assert sorted(floor.asked()) == list(range(20))
    assert floor.run(batch.id).state == "done"
    assert len(floor.asked()) == 20, "what is finished is stored, and needs no cache"
