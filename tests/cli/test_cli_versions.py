"""Commands on what is stored: prompt versions, aliases, spending, health, one call."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from domain.prompt import Demonstration
from orchestration.environments import Environment
from resources.catalog.task_file import load_task
from resources.database.repositories import aliases, evaluations, prompt_versions, tasks
from resources.database.session import open_database
from resources.llm import open_client

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@pytest.fixture
def stored(workshop):
    """Two versions of one task: v1 in production, v2 with demonstrations; both evaluated."""
    path = workshop.write_task()
    assert workshop.run("db", "upgrade").code == 0
    task = load_task(path)
    first = task.prompt.version()
    step = first.steps[0]
    rows = [("My card was charged twice", "billing"), ("Where is my parcel?", "delivery"), ("Give it back", "refund")]
    demonstrations = tuple(Demonstration(inputs={"text": text}, output=label) for text, label in rows)
    second = first.with_steps((step.model_copy(update={"demonstrations": demonstrations}),))
    database = open_database(Environment.read().database)
    with database.session() as session:
        tasks.upsert_task(session, task, source_path=str(path), now=NOW)
        prompt_versions.register(session, "tickets", first, created_by="author", now=NOW)
        prompt_versions.register(session, "tickets", second, created_by="test", now=NOW, parent_id=first.id)
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
        for number, (version, score) in enumerate(((first, 0.5), (second, 0.75))):
            evaluations.save(session, evaluation(str(number) * 64, version.id, score))
    database.dispose()
    return workshop


def evaluation(evaluation_id: str, version_id: str, score: float) -> evaluations.EvaluationRecord:
    return evaluations.EvaluationRecord(
        id=evaluation_id,
        task="tickets",
        prompt_version_id=version_id,
        dataset_version_id="d" * 64,
        split="test",
        metric="choice_label",
        rows=40,
        score=score,
        score_low=score - 0.1,
        score_high=score + 0.1,
        summary={},
        storage_path="none",
        created_at=NOW,
    )


def test_versions_are_listed_newest_first_with_alias_and_score(stored):
    versions = stored.run("prompt", "list", "tickets", "--json").value["versions"]

    assert [(one["version"], one["aliases"], one["score"]["score"]) for one in versions] == [
        (2, [], 0.75),
        (1, ["production"], 0.5),
    ]
    assert "75.0 % (65.0 – 85.0 %)" in stored.run("prompt", "list", "tickets").out


@pytest.mark.parametrize("reference", ["1", "v1", "production", "prefix"])
def test_a_version_is_found_by_every_kind_of_reference(stored, reference):
    version_id = stored.run("prompt", "list", "tickets", "--json").value["versions"][1]["id"]
    reference = version_id[:8] if reference == "prefix" else reference

    shown = stored.run("prompt", "show", "tickets", reference, "--json").value

    assert shown["id"] == version_id
    assert shown["content"]["steps"][0]["system_prompt"] == "Choose the team."


def test_an_unknown_version_is_refused_with_those_there_are(stored):
    outcome = stored.run("prompt", "show", "tickets", "v9")

    assert outcome.code == 2
    assert "v2 (" in outcome.err


def test_the_diff_shows_what_changed_and_both_scores(stored):
    outcome = stored.run("prompt", "diff", "tickets", "v1", "v2", "--json")

    assert "+text: Where is my parcel?" in outcome.value["diff"]
    assert "+→ delivery" in outcome.value["diff"]
    assert "-Choose the team." not in outcome.value["diff"]
    assert outcome.value["a"]["scores"]["test"]["score"] == 0.5
    assert outcome.value["b"]["scores"]["test"]["score"] == 0.75
    assert "are the same version" in stored.run("prompt", "diff", "tickets", "v1", "production").out


def test_production_moves_by_hand_with_a_reason_kept_in_its_history(stored):
    moved = stored.run("prompt", "promote", "tickets", "v2", "--reason", "a person decided", "--json")
    again = stored.run("prompt", "promote", "tickets", "v2", "--reason", "once more", "--json")

    assert (moved.code, moved.value["moved"], again.value["moved"]) == (0, True, False)
    database = open_database(Environment.read().database)
    with database.session(read_only=True) as session:
        history = aliases.history(session, "tickets", "production")
    database.dispose()
    assert [move.reason for move in history] == ["a person decided", "the first"]
    assert history[0].to_id == moved.value["to"]
    assert history[0].decision_id is None


def test_a_promotion_without_a_reason_is_refused(stored):
    assert stored.run("prompt", "promote", "tickets", "v2").code == 2
    outcome = stored.run("prompt", "promote", "tickets", "v2", "--reason", " ")

    assert outcome.code == 2
    assert "reason" in outcome.err
    assert stored.run("prompt", "show", "tickets", "production", "--json").value["version"] == 1


def test_another_alias_can_be_made_and_a_misleading_one_cannot(stored):
    arguments = ("prompt", "promote", "tickets", "v2", "--reason", "r", "--alias")

    assert stored.run(*arguments, "staging").code == 0
    assert stored.run("prompt", "show", "tickets", "staging", "--json").value["version"] == 2
    assert stored.run(*arguments, "v1").code == 2


def test_a_call_answers_from_production_and_is_on_the_ledger(stored):
    outcome = stored.run("call", "tickets", "--input", "text=Where is my parcel?", "--version", "v2", "--json")

    assert outcome.code == 0
    value = outcome.value
    assert (value["answer"], value["prompt_version"], value["meets_contract"]) == ("delivery", 2, True)
    assert value["cost_nano_usd"] > 0
    assert not value["cached"]
    spent = stored.run("cost", "--by", "purpose", "--json").value
    assert [(line["key"], line["calls"]) for line in spent["lines"]] == [("call", 1)]
    assert spent["total"]["spent_nano_usd"] == value["cost_nano_usd"]
    versions = stored.run("cost", "--by", "version", "--json").value["lines"]
    assert [line["key"] for line in versions] == [value["prompt_version_id"]]


def test_the_same_call_again_is_free_and_has_an_id_of_its_own(stored):
    arguments = ("call", "tickets", "--input", "text=Where is it?", "--version", "v2", "--json")
    first, second = stored.run(*arguments).value, stored.run(*arguments).value

    assert (second["cached"], second["cost_nano_usd"]) == (True, 0)
    assert second["call_id"] != first["call_id"]


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        (["body=x"], "not FIELD=TEXT"),
        (["text"], "not FIELD=TEXT"),
        (["text=a", "text=b"], "given twice"),
    ],
)
def test_a_call_with_other_fields_than_the_prompt_s_is_refused(stored, inputs, problem):
    outcome = stored.run("call", "tickets", *(part for text in inputs for part in ("--input", text)))

    assert outcome.code == 2
    assert problem in outcome.err
    assert "--input text=" in outcome.err


def test_a_call_beyond_the_task_s_budget_is_not_made(stored):
    (stored.root / "promptory.yaml").write_text('budgets: {"task:tickets": "0.000000001"}\n', encoding="utf-8")

    outcome = stored.run("call", "tickets", "--input", "text=Where is it?")

    assert outcome.code == 1
    assert stored.run("cost", "--json").value["total"]["attempts"] == 0


@pytest.mark.usefixtures("one_day")
def test_spending_can_be_cut_by_time(stored):
    stored.run("call", "tickets", "--input", "text=Where is it?")
    today = f"{datetime.now(UTC):%Y-%m-%d}"

    assert stored.run("cost", "--by", "day", "--since", today, "--json").value["lines"][0]["key"] == today
    assert stored.run("cost", "--until", "2020-01-01", "--json").value["lines"] == []
    assert "No call" in stored.run("cost", "--until", "2020-01-01").out
    assert stored.run("cost", "--since", "yesterday").code == 2


def test_health_is_0_when_well_and_1_with_an_open_breaker(stored):
    well = stored.run("health", "--json")
    asyncio.run(open_breaker())
    ill = stored.run("health", "--json")

    assert (well.code, well.value["overall"]) == (0, "healthy")
    assert (ill.code, ill.value["overall"]) == (1, "degraded")
    assert "offline/nearest" in stored.run("health").out


async def open_breaker() -> None:
    async with open_client(Environment.read().core_settings()) as client:
        await client.set_breaker("offline/nearest", "open")


def test_a_dry_run_names_calls_price_and_caps_and_pays_nothing(stored):
    outcome = stored.run("optimize", "tickets", "--dry-run", "--json")

    assert outcome.code == 0
    value = outcome.value
    assert value["calls"]["at_most"] >= value["calls"]["expected"] > value["split_rows"]["dev"]
    assert value["caps_usd"] == {"run": "1"}
    assert float(value["usd"]["at_most"]) > float(value["usd"]["expected"]) > 0
    assert float(value["bound_usd"]) == min(1.0, float(value["usd"]["at_most"]))
    assert [(line["stage"], line["purpose"]) for line in value["stages"]] == [("bootstrap_random_search", "task")]
    assert "four bytes a token" in value["assumption"]
    assert stored.run("cost", "--json").value["total"]["attempts"] == 0


def test_upgrading_twice_changes_nothing(stored):
    again = stored.run("db", "upgrade", "--json").value

    assert (again["changed"], again["before"]) == (False, again["after"])
    assert stored.run("db", "status", "--json").value["current"] is True


def test_a_first_run_makes_its_own_database(workshop):
    workshop.write_task()

    outcome = workshop.run("ingest", "tickets")

    assert outcome.code == 0, outcome.err
    assert (workshop.root / "home" / "promptory.db").exists()


def test_production_is_steered_by_hand_and_every_move_is_on_record(stored):
    reason = ("--reason", "It was rude.")
    promoted = stored.run("prompt", "promote", "tickets", "v2", *reason, "--by", "ada", "--json").value
    assert (promoted["kind"], promoted["held"], promoted["overruled"]) == ("hand", True, None)
    assert "ada (cli:" in stored.run("task", "show", "tickets").out

    back = stored.run("prompt", "rollback", "tickets", "--from", "v2", "--json").value
    assert (back["kind"], back["version"], back["held"]) == ("rollback", 1, True)
    again = stored.run("prompt", "rollback", "tickets")
    assert (again.code, "never pointed at another version" in again.err) == (2, True)

    assert stored.run("prompt", "release", "tickets").code == 2
    assert stored.run("prompt", "release", "tickets", *reason, "--json").value["held"] is False
    assert "Nobody holds" in stored.run("prompt", "release", "tickets", *reason).err

    told = stored.run("prompt", "history", "tickets", "--json").value
    assert [move["kind"] for move in told["moves"]] == ["release", "rollback", "hand", "first"]
    assert [move["to_version"] for move in told["moves"]] == [1, 1, 2, 1]
    assert told["held"] is False
    shown = " ".join(stored.run("prompt", "history", "tickets").out.split())
    assert "It was rude." in shown
    assert "Rolled back from v2." in shown


def test_an_alias_of_another_name_is_nobody_s_hold(stored):
    for reference in ("v2", "v1"):
        moved = stored.run("prompt", "promote", "tickets", reference, "--reason", "r", "--alias", "staging", "--json")
        assert moved.value["held"] is False
    assert stored.run("prompt", "rollback", "tickets", "--alias", "staging", "--json").value["version"] == 2
    assert stored.run("prompt", "history", "tickets", "--alias", "staging", "--json").value["held"] is False
    assert stored.run("prompt", "history", "tickets", "--alias", "none").code == 2
