"""Running again: what was paid for is stored, and only what is new is asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loop.scripted_model import learns
from loop.workplace import EVALUATE, LABELS, TARIFFS, TASK, Example, Workplace, over_http, task_values
from servers.openai_server import OpenAIServer

from domain.dataset import Split, SplitFractions, assign_split
from orchestration.run_report import RunReport
from resources.database.repositories import gate_decisions, prompt_versions
from resources.evaluation.promote import PRODUCTION

ROWS = 72
IDS = {
    "dataset": "dataset_version_id",
    "prompt_version": "prompt_version_id",
    "optimization_run": "result_version_id",
    "evaluation": "decision_id",
    "promotion": "production",
}


def ids(report: RunReport) -> dict[str, Any]:
    return {asset: report.metadata[asset][field] for asset, field in IDS.items() if asset in report.metadata}


def questions(bodies: list[bytes]) -> set[str]:
    return {json.loads(body)["messages"][-1]["content"] for body in bodies}


def new_row(split: Split) -> Example:
    """A row the catalog does not have yet, which the split deals to `split`."""
    fractions = SplitFractions(**task_values()["dataset"]["split"])
    numbers = range(ROWS, ROWS + 1000)
    return next(one for one in map(Example, numbers) if assign_split({"text": one.text}, fractions) is split)


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(behaviour=learns, tariffs=TARIFFS) as running:
        yield running


@pytest.fixture
def place(make_workplace: Callable[..., Workplace], server: OpenAIServer) -> Workplace:
    """Without the response cache: what costs nothing is stored."""
    return make_workplace(ROWS, over_http(server, cache={"enabled": False}), model="openai/scripted")


def test_the_same_again_asks_nothing_and_ends_the_same(place: Workplace, server: OpenAIServer) -> None:
    first = place.run()
    asked = len(server.bodies)
    second = place.run()
    third = place.run()

    assert asked > 0
    assert len(server.bodies) == asked
    assert ids(first) == ids(second) == ids(third)
    assert first.metadata["evaluation"]["verdict"] == "promote"
    assert first.metadata["optimization_run"]["cost_usd"] > 0
    for report in (second, third):
        for asset in ("optimization_run", "evaluation"):
            shown = report.metadata[asset]
            assert (shown["cost_usd"], shown["calls"], shown["tokens"]) == (0, 0, 0)
        took = report.metadata["optimization_run"]["run_cost_usd"]
        assert took == first.metadata["optimization_run"]["cost_usd"]
        assert report.metadata["evaluation"]["verdict"] == "promote"
        assert report.metadata["promotion"]["moved"] is False


def test_only_a_changed_prompt_is_evaluated_again(place: Workplace, server: OpenAIServer) -> None:
    place.run()
    asked = len(server.bodies)
    values = task_values(model="openai/scripted")
    values["prompt"]["system_prompt"] = "Name the room for the crate."
    place.write_task(values)
    report = place.run(*EVALUATE)

    new = server.bodies[asked:]
    assert new
    assert all(b"Name the room" in body for body in new)
    assert len(new) == len(set(new))
    assert report.metadata["dataset"]["dataset_version"] == 1
    assert report.metadata["evaluation"]["verdict"] == "keep"


@pytest.mark.parametrize("split", [Split.TRAIN, Split.DEV, Split.TEST])
def test_one_more_row_pays_for_that_row_only(place: Workplace, server: OpenAIServer, split: Split) -> None:
    first = place.run()
    asked = len(server.bodies)
    row = new_row(split)
    place.land("more.csv", [row])
    report = place.run(*EVALUATE)

    new = server.bodies[asked:]
    assert questions(new) == (set() if split is Split.TRAIN else {f"Text: {row.text}"})
    assert len(new) == len(set(new))
    assert report.metadata["dataset"]["dataset_version"] == 2
    assert report.metadata["dataset"]["dagster/row_count"] == first.metadata["dataset"]["dagster/row_count"] + 1
    assert report.metadata["evaluation"]["reused_answers"] > 0


def test_a_settled_contest_is_open_again_under_edited_evaluators(place: Workplace, server: OpenAIServer) -> None:
    """By a new metric the former production may be the better one; by a new figure beside the metric it is not."""
    settled = place.run().metadata["evaluation"]
    asked = len(server.bodies)
    place.write_task(task_values(model="openai/scripted", evaluators=[{"kind": "choice_label"}, {"kind": "token_f1"}]))
    beside = place.run(*EVALUATE).metadata["evaluation"]
    assert (settled["verdict"], beside["verdict"]) == ("promote", "keep")
    assert beside["decision_id"] != settled["decision_id"]
    assert "it was not shown the test split" in beside["reason"]
    assert place.run(*EVALUATE).metadata["evaluation"]["decision_id"] == beside["decision_id"]

    place.write_task(task_values(model="openai/scripted", evaluators=[{"kind": "regex", "pattern": LABELS[0]}]))
    other = place.run(*EVALUATE)
    assert other.metadata["evaluation"]["verdict"] == "promote"
    assert other.metadata["promotion"]["moved"] is True
    with place.database() as database, database.session(read_only=True) as session:
        assert prompt_versions.get(session, TASK, PRODUCTION).version == 1
        assert gate_decisions.looks(session, TASK) == 2
    assert len(server.bodies) == asked, "all answers are stored"
