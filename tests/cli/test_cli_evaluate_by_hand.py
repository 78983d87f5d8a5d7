"""`promptory evaluate` with --prompt, --split or --evaluator: any version on dev, test as the gate has shown it."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import pandas as pd
import pytest
from upath import UPath

from domain.prompt import Demonstration
from orchestration.environments import Environment
from resources.catalog.catalog import CatalogEntry
from resources.catalog.snapshot import take_snapshot
from resources.catalog.task_file import load_task
from resources.database.repositories import aliases, evaluations, gate_decisions, prompt_versions
from resources.database.session import open_database
from resources.storage.datasets import DatasetStore

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TWO = "evaluators: [{kind: choice_label}, {kind: text_similarity}]"


@pytest.fixture
def stored(workshop):
    """A dataset version and two prompt versions: v1 in production, v2 with demonstrations; nothing evaluated."""
    path = workshop.write_task(lambda text: text.replace("evaluators: [{kind: choice_label}]", TWO))
    assert workshop.run("db", "upgrade").code == 0
    environment = Environment.read()
    task = load_task(path)
    first = task.prompt.version()
    rows = [("My card was charged twice", "billing"), ("Where is my parcel?", "delivery"), ("Give it back", "refund")]
    demonstrations = tuple(Demonstration(inputs={"text": text}, output=label) for text, label in rows)
    second = first.with_steps((first.steps[0].model_copy(update={"demonstrations": demonstrations}),))
    database = open_database(environment.database)
    take_snapshot(
        CatalogEntry(task, path),
        UPath(environment.landing_root),
        database,
        DatasetStore(UPath(environment.storage_root)),
        NOW,
    )
    with database.session() as session:
        for version in (first, second):
            prompt_versions.register(session, "tickets", version, created_by="author", now=NOW)
        aliases.move(
            session,
            "tickets",
            "production",
            first.id,
            expected_revision=None,
            moved_by="author",
            reason="the first",
            now=NOW,
        )
    database.dispose()
    return workshop


def recorded(split: str | None = None) -> list[evaluations.EvaluationRecord]:
    database = open_database(Environment.read().database)
    with database.session(read_only=True) as session:
        found = evaluations.list_evaluations(session, "tickets", split=split)
    database.dispose()
    return found


def looks() -> int:
    database = open_database(Environment.read().database)
    with database.session(read_only=True) as session:
        counted = gate_decisions.looks(session, "tickets")
    database.dispose()
    return counted


def test_two_versions_on_dev_with_intervals_and_problems(stored):
    outcome = stored.run("evaluate", "tickets", "--prompt", "v1", "--prompt", "2", "--json")
    assert outcome.code == 0, outcome.err
    value = outcome.value

    assert (value["split"], [one["prompt"]["version"] for one in value["evaluations"]]) == ("dev", [1, 2])
    for one in value["evaluations"]:
        assert set(one["metrics"]) == {"choice_label", "text_similarity"}
        assert one["problems"] == {"unparsable": 0, "evaluator_error": 0, "judge_error": 0}
        found = one["metrics"]["choice_label"]
        assert found["low"] <= found["mean"] <= found["high"]
        examples = pd.read_parquet(UPath(Environment.read().storage_root) / one["examples"])
        assert examples["score"].mean() == pytest.approx(found["mean"])
        assert len(examples) == one["rows"] == found["scored"] > 0
    assert value["effort"]["calls"] == 2 * value["evaluations"][0]["rows"]
    assert value["effort"]["cost_nano_usd"] > 0
    assert len(recorded("dev")) == 2
    assert (recorded("test"), looks()) == ([], 0)

    again = stored.run("evaluate", "tickets", "--prompt", "v1", "--prompt", "2")
    assert "0 calls (0 cached), $0.00" in again.out
    assert "95 % interval" in again.out
    assert again.out.count("choice_label") == 2


def test_production_on_dev_is_what_is_looked_at_unless_told_otherwise(stored):
    value = stored.run("evaluate", "tickets", "--split", "dev", "--json").value
    assert [one["prompt"]["version"] for one in value["evaluations"]] == [1]


def test_some_of_the_evaluators_are_shown_and_not_put_on_record(stored):
    value = stored.run("evaluate", "tickets", "--evaluator", "text_similarity", "--json").value
    assert list(value["evaluations"][0]["metrics"]) == ["text_similarity"]
    assert recorded() == []
    every = stored.run(
        "evaluate", "tickets", "--evaluator", "text_similarity", "--evaluator", "choice_label", "--json"
    ).value
    assert list(every["evaluations"][0]["metrics"]) == ["choice_label", "text_similarity"]
    assert [one.metric for one in recorded()] == ["choice_label"]


def test_test_is_not_shown_by_hand(stored):
    outcome = stored.run("evaluate", "tickets", "--prompt", "v2", "--split", "test", "--json")
    assert outcome.code == 2
    assert outcome.value["field"] == "split"
    assert "was not shown the test split of dataset v1" in outcome.value["problem"]
    assert "use --split dev" in outcome.value["mend"]
    assert (recorded(), looks()) == ([], 0)


def test_what_the_gate_has_shown_of_test_may_be_seen_again(stored):
    assert stored.run("evaluate", "tickets").code == 0
    counted, shown = looks(), len(recorded("test"))
    outcome = stored.run("evaluate", "tickets", "--split", "test", "--evaluator", "choice_label", "--json")
    (one,) = outcome.value["evaluations"]

    assert list(one["metrics"]) == ["choice_label"]
    assert one["evaluation_id"] in {record.id for record in recorded("test")}
    assert outcome.value["effort"]["calls"] == 0
    assert (looks(), len(recorded("test"))) == (counted, shown)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--evaluator", "judge"], "has no evaluator 'judge'"),
        (["--prompt", "v9"], "v9"),
        (["--prompt", "candidate"], "candidate"),
    ],
)
def test_what_there_is_not_is_named(stored, arguments, problem):
    outcome = stored.run("evaluate", "tickets", *arguments, "--json")
    assert outcome.code == 2
    assert problem in outcome.value["problem"]
    assert recorded() == []


def test_a_task_without_a_dataset_version_names_the_command(workshop):
    workshop.write_task()
    assert workshop.run("db", "upgrade").code == 0
    outcome = workshop.run("evaluate", "tickets", "--split", "dev", "--json")
    assert (outcome.code, outcome.value["mend"]) == (2, "run `promptory ingest tickets`.")


def test_an_evaluator_of_ones_own_is_checked_and_used(stored, monkeypatch):
    module = stored.root / "ticket_rules.py"
    module.write_text("def polite(expected, given, inputs):\n    return len(given) / 10\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(stored.root))
    rule = "{kind: python, path: 'ticket_rules:polite'}"
    stored.write_task(lambda text: text.replace("{kind: choice_label}", f"{{kind: choice_label}}, {rule}"))
    assert stored.run("task", "validate", "tickets").code == 0
    value = stored.run("evaluate", "tickets", "--evaluator", "polite", "--json").value
    assert 0.6 <= value["evaluations"][0]["metrics"]["polite"]["mean"] <= 0.8

    module.unlink()
    sys.modules.pop("ticket_rules")
    broken = stored.run("task", "validate", "tickets", "--json")
    assert broken.code == 2
    error = broken.value["tasks"][0]["error"]
    assert "there is no module 'ticket_rules'" in error["problem"]
    assert error["file"].endswith("tickets.yaml")
