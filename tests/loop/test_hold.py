"""What a person decided about production outlasts evaluations on new data, until a person releases it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from loop.scripted_model import Overfits, learns
from loop.workplace import EVALUATE, TARIFFS, TASK, Example, Workplace, over_http, task_values
from servers.openai_server import OpenAIServer

from domain.dataset import Split, SplitFractions, assign_split
from orchestration.run_report import CheckOutcome, RunReport
from resources.database.repositories import evaluations, gate_decisions, prompt_versions
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.evaluation.promote import PRODUCTION
from resources.evaluation.steering import promote_by_hand, release_hold, roll_back

ROWS = 72
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(behaviour=learns, tariffs=TARIFFS) as running:
        yield running


@pytest.fixture
def place(make_workplace: Callable[..., Workplace], server: OpenAIServer) -> Workplace:
    return make_workplace(ROWS, over_http(server), model="openai/scripted")


def of_test(first: int, count: int) -> list[Example]:
    """New rows that the split deals to test."""
    fractions = SplitFractions(**task_values()["dataset"]["split"])
    numbers = (Example(number) for number in range(first, first + 1000))
    return [one for one in numbers if assign_split({"text": one.text}, fractions) is Split.TEST][:count]


def looks(place: Workplace) -> int:
    with place.database() as database, database.session(read_only=True) as session:
        return gate_decisions.looks(session, TASK)


def production(place: Workplace) -> PromptVersionRecord:
    with place.database() as database, database.session(read_only=True) as session:
        return prompt_versions.get(session, TASK, PRODUCTION)


def seen_on_test(place: Workplace, record: PromptVersionRecord, report: RunReport) -> list[EvaluationRecord]:
    """The version's evaluations on the test split of the dataset version of that run."""
    dataset = report.metadata["dataset"]["dataset_version_id"]
    with place.database() as database, database.session(read_only=True) as session:
        return evaluations.list_evaluations(
            session, TASK, prompt_version_id=record.id, dataset_version_id=dataset, split="test"
        )


def gate(report: RunReport) -> CheckOutcome:
    return next(check for check in report.checks if check.name == "gate")


def test_a_rollback_outlasts_new_data_until_it_is_released(place: Workplace) -> None:
    place.run()
    learned = production(place)
    assert learned.version > 1
    with place.database() as database:
        rolled = roll_back(database, TASK, PRODUCTION, by="ada", reason="It was rude.", now=NOW)
    assert (rolled.kind, rolled.after.version) == ("rollback", 1)

    spent = looks(place)
    place.land("more.csv", of_test(ROWS, 6))
    report = place.run(*EVALUATE)
    assert (production(place).version, looks(place)) == (1, spent)
    assert not gate(report).passed
    assert "ada holds production since 2026-11-22 12:00 UTC (rollback: It was rude.)" in gate(report).sentence
    assert report.metadata["promotion"]["moved"] is False
    assert seen_on_test(place, learned, report) == []

    with place.database() as database:
        release_hold(database, TASK, by="ada", reason="It is polite now.", now=NOW)
    released = place.run(*EVALUATE)
    assert (production(place), looks(place)) == (learned, spent + 1)
    assert gate(released).passed
    assert len(seen_on_test(place, learned, released)) == 1


def test_an_override_outlasts_an_evaluation_that_would_undo_it(place: Workplace, server: OpenAIServer) -> None:
    server.behaviour = Overfits([one.token for one in of_test(0, 1000)])
    report = place.run()
    assert (report.metadata["evaluation"]["verdict"], production(place).version) == ("reject", 1)
    with place.database() as database:
        with database.session(read_only=True) as session:
            (decision,) = gate_decisions.list_gate_decisions(session, TASK)
        done = promote_by_hand(
            database, TASK, decision.candidate_id, PRODUCTION, by="ada", reason="Legal wants it.", now=NOW
        )
    assert (done.kind, done.overruled) == ("override", decision)

    # On these rows the authored prompt wins on dev and on test, significantly.
    server.behaviour = lambda body: "nonsense" if len(body["messages"]) > 2 else learns(body)
    place.write_rows([Example(number) for number in range(1000, 1000 + 2 * ROWS)])
    again = place.run(*EVALUATE)
    assert production(place) == done.after
    assert "(override: Legal wants it.)" in gate(again).sentence
