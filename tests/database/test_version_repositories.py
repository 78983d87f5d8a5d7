"""Tasks, dataset versions and prompt versions: registered once, numbered in order, found by what a person writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain.dataset import DatasetVersion
from domain.errors import InputError, NotFoundError
from domain.prompt import Demonstration, PromptStep, PromptVersion
from domain.task import Task
from resources.database.repositories import aliases, dataset_versions, prompt_versions, tasks
from resources.database.session import Database
from resources.database.tables import PromptVersionRow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def prompt(text: str) -> PromptVersion:
    demonstration = Demonstration(inputs={"text": "Größe\0?"}, output="ja")
    step = PromptStep(system_prompt=text, output_prompt="{{ text }}", demonstrations=(demonstration,))
    return PromptVersion(steps=(step,), model="offline/nearest")


def task(name: str, description: str = "") -> Task:
    return Task.model_validate(
        {
            "name": name,
            "description": description,
            "dataset": {"source": "rows.csv", "inputs": ["text"], "output": "label"},
            "prompt": {"model": "offline/nearest", "output_prompt": "{{ text }}"},
            "evaluators": [{"kind": "exact_match"}],
        }
    )


def register_dataset(session: Session, version_id: str, task_name: str = "triage") -> DatasetVersion:
    return dataset_versions.register(
        session,
        task_name,
        version_id,
        storage_path=f"/data/{version_id}",
        rows=3,
        split_rows={"train": 1, "dev": 1, "test": 1},
        quarantined=2,
        sources=[{"file": "rows.csv", "rows": 5}],
        now=NOW,
    )


def test_a_task_is_stored_and_replaced(database: Database):
    later = NOW + timedelta(hours=1)
    with database.session() as session:
        first = tasks.upsert_task(session, task("triage"), source_path="a.yaml", now=NOW)
        same = tasks.upsert_task(session, task("triage"), source_path="a.yaml", now=later)
        changed = tasks.upsert_task(session, task("triage", "new"), source_path="a.yaml", now=later)
        moved = tasks.upsert_task(session, task("triage", "new"), source_path="b.yaml", now=later)
    assert first == same
    assert (changed.updated_at, changed.spec_id) == (later, task("triage", "new").spec_id)
    assert moved.source_path == "b.yaml"
    assert moved.task == task("triage", "new")


def test_tasks_are_listed_by_name_and_named_when_one_is_missing(database: Database):
    with database.session() as session:
        with pytest.raises(NotFoundError, match="No task has been read yet"):
            tasks.get_task(session, "triage")
        for name in ("b_task", "a_task"):
            tasks.upsert_task(session, task(name), source_path="x.yaml", now=NOW)
        assert [record.name for record in tasks.list_tasks(session)] == ["a_task", "b_task"]
        with pytest.raises(NotFoundError, match="The tasks are: a_task, b_task"):
            tasks.get_task(session, "triage")


def test_dataset_versions_are_numbered_per_task_and_registered_once(database: Database):
    with database.session() as session:
        assert dataset_versions.latest(session, "triage") is None
        first = register_dataset(session, "a" * 64)
        second = register_dataset(session, "b" * 64)
        again = register_dataset(session, "a" * 64)
        other = register_dataset(session, "a" * 64, "refunds")
    assert (first.version, second.version, other.version) == (1, 2, 1)
    assert again == first
    assert first.sources == ({"file": "rows.csv", "rows": 5},)
    with database.session(read_only=True) as session:
        assert dataset_versions.latest(session, "triage") == second
        assert dataset_versions.list_dataset_versions(session, "triage") == [second, first]
        assert dataset_versions.get(session, "triage", "v1") == first
        assert dataset_versions.get(session, "triage", "bbbbbb") == second
        with pytest.raises(NotFoundError, match=r"no dataset version '7'.*v2 \(bbbbbbbbbbbb\), v1 \(aaaaaaaaaaaa\)"):
            dataset_versions.get(session, "triage", "7")


def test_prompt_versions_are_numbered_per_task_and_registered_once(database: Database):
    with database.session() as session:
        first = prompt_versions.register(session, "triage", prompt("one"), created_by="author", now=NOW)
        second = prompt_versions.register(
            session, "triage", prompt("two"), created_by="run", parent_id=first.id, name="winner", now=NOW
        )
        again = prompt_versions.register(
            session, "triage", prompt("one"), created_by="somebody else", now=NOW + timedelta(days=1)
        )
        other = prompt_versions.register(session, "refunds", prompt("two"), created_by="author", now=NOW)
    assert (first.version, second.version, other.version) == (1, 2, 1)
    assert (first.name, second.name, second.parent_id) == ("triage", "winner", first.id)
    assert again == first
    with database.session(read_only=True) as session:
        assert prompt_versions.list_prompt_versions(session, "triage") == [second, first]
        assert prompt_versions.list_prompt_versions(session, "triage", limit=1) == [second]
        assert prompt_versions.find(session, "triage", second.id) == second
        assert prompt_versions.find(session, "triage", "f" * 64) is None


@pytest.mark.parametrize("reference", ["2", "v2", "production", "{id}", "{id:.6}", "{id:.40}"])
def test_a_prompt_version_is_found_by_what_a_person_writes(database: Database, reference: str):
    with database.session() as session:
        prompt_versions.register(session, "triage", prompt("one"), created_by="author", now=NOW)
        second = prompt_versions.register(session, "triage", prompt("two"), created_by="author", now=NOW)
        aliases.move(
            session, "triage", "production", second.id, expected_revision=None, moved_by="me", reason="first", now=NOW
        )
    with database.session(read_only=True) as session:
        assert prompt_versions.get(session, "triage", reference.format(id=second.id)) == second


@pytest.mark.parametrize("reference", ["3", "v0", "candidate", "{id:.5}", "{id}0", "", "v", "%", "99999999999999"])
def test_a_reference_that_names_nothing_lists_what_there_is(database: Database, reference: str):
    with database.session() as session:
        first = prompt_versions.register(session, "triage", prompt("one"), created_by="author", now=NOW)
        aliases.move(
            session, "triage", "production", first.id, expected_revision=None, moved_by="me", reason="first", now=NOW
        )
        with pytest.raises(NotFoundError) as caught:
            prompt_versions.get(session, "triage", reference.format(id=first.id))
    assert f"v1 ({first.id[:12]}); aliases: production" in (caught.value.mend or "")


def test_a_task_without_versions_says_so(database: Database):
    with (
        pytest.raises(NotFoundError, match="'triage' has no prompt version yet"),
        database.session(read_only=True) as session,
    ):
        prompt_versions.get(session, "triage", "production")


def test_an_ambiguous_beginning_lists_the_ids(database: Database):
    with database.session() as session:
        for digit in "78":
            register_dataset(session, "123456" + digit * 58)
        with pytest.raises(InputError, match="beginning of 2 ids") as caught:
            dataset_versions.get(session, "triage", "123456")
        assert "1234567777" in str(caught.value)
        assert "1234568888" in str(caught.value)
        assert dataset_versions.get(session, "triage", "1234567").version == 1


def test_a_version_number_goes_before_the_beginning_of_an_id(database: Database):
    with database.session() as session:
        for number in range(1, 4):
            register_dataset(session, f"{number}" * 64)
        assert dataset_versions.get(session, "triage", "3").id == "3" * 64
        assert dataset_versions.get(session, "triage", "111111").id == "1" * 64


def test_content_changed_by_hand_is_noticed(database: Database):
    with database.session() as session:
        first = prompt_versions.register(session, "triage", prompt("one"), created_by="author", now=NOW)
        session.execute(update(PromptVersionRow).values(content=prompt("other").content()))
    with database.session() as session, pytest.raises(InputError, match="does not match its id"):
        prompt_versions.get(session, "triage", first.id)


def test_threads_that_register_at_once_leave_no_gap(database: Database):
    """Two threads for every version, one of them comes second."""

    def register(number: int) -> tuple[int, int]:
        with database.session() as session:
            stored = prompt_versions.register(session, "triage", prompt(f"{number // 2}"), created_by="x", now=NOW)
        with database.session() as session:
            rows = register_dataset(session, f"{number // 2:064x}")
        return stored.version, rows.version

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(register, range(24)))
    for position in (0, 1):
        assert sorted({pair[position] for pair in numbers}) == list(range(1, 13))
        assert all(numbers[n][position] == numbers[n + 1][position] for n in range(0, 24, 2))
    with database.session(read_only=True) as session:
        assert len(session.scalars(select(PromptVersionRow.id)).all()) == 12
