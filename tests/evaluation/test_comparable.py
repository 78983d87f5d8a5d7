"""Only scores of one evaluator over one draw of answers are set against each other, and old records still are."""

from __future__ import annotations

from typing import Any

import pytest
from evaluation.desk import NOW, Desk, rows_of, task_of
from sqlalchemy import select, update

from assets.evaluations.checks import regression_check
from domain.dataset import Split
from domain.gate_plan import ASSUMED, Spread
from domain.task import Task
from resources.comparison.stored import compare_stored
from resources.database.repositories import aliases
from resources.database.tables import EvaluationRow
from resources.evaluation.plan import plan_next_look

ROWS = rows_of(20)


def task(*, ignore_case: bool = False, system: str = "Old.") -> Task:
    prompt = {"output": {"kind": "text"}, "system_prompt": system}
    return task_of([{"kind": "exact_match", "ignore_case": ignore_case}], prompt=prompt)


def candidate(*, ignore_case: bool = False) -> Task:
    return task(ignore_case=ignore_case, system="New.")


@pytest.fixture
def pair(desk: Desk) -> list[str]:
    """Production and a candidate."""
    desk.server.behaviour = lambda body: "shed" if str(body["messages"][0]["content"]).startswith("New.") else "Shed"
    ids = [desk.register(one, one.prompt.version()).id for one in (task(), candidate())]
    with desk.database.session() as session:
        aliases.move(
            session, "crates", "production", ids[0], expected_revision=None, moved_by="author", reason="first", now=NOW
        )
    return ids


def compared(desk: Desk, pair: list[str]) -> bool:
    return compare_stored(desk.database, desk.root, "crates", *pair).figures is not None


def spread(desk: Desk) -> Spread:
    dataset = desk.dataset(ROWS).model_copy(update={"split_rows": {Split.TEST: 10}})
    with desk.database.session(read_only=True) as session:
        return plan_next_look(session, desk.root, task(), dataset).spread


@pytest.mark.parametrize(
    ("now", "options"), [(candidate(ignore_case=True), {}), (candidate(), {"sample": 3})], ids=["evaluator", "sample"]
)
def test_versions_are_compared_only_by_the_same_evaluator_on_the_same_draw(
    desk: Desk, pair: list[str], now: Task, options: dict[str, Any]
) -> None:
    desk.evaluate(task(), ROWS)
    desk.evaluate(now, ROWS, **options)
    assert not compared(desk, pair)
    assert spread(desk) == ASSUMED
    desk.evaluate(candidate(), ROWS)
    assert compared(desk, pair)
    assert spread(desk) != ASSUMED


def test_records_of_earlier_releases_match_each_other_and_learn_what_they_were_made_by(
    desk: Desk, pair: list[str]
) -> None:
    evaluated = [desk.evaluate(one, ROWS).record for one in (task(), candidate())]
    with desk.database.session() as session:
        for record in evaluated:
            old = {name: value for name, value in record.summary.items() if name not in ("scored_by", "sample")}
            session.execute(update(EvaluationRow).where(EvaluationRow.id == record.id).values(summary=old))
    assert compared(desk, pair)
    assert desk.evaluate(task(), ROWS).record == evaluated[0]
    assert desk.evaluate(candidate(), ROWS).record == evaluated[1]
    assert compared(desk, pair)
    with desk.database.session(read_only=True) as session:
        assert len(session.scalars(select(EvaluationRow.id)).all()) == 2


def test_a_stricter_evaluator_is_no_regression_of_production(desk: Desk, pair: list[str]) -> None:
    assert pair
    lenient, strict = task(ignore_case=True), task()
    prompts = task().prompt.version(), candidate().prompt.version()
    desk.contest(lenient, ROWS, *prompts)
    contest = desk.contest(strict, rows_of(24), *prompts)
    assert contest.test[pair[0]].record.score == 0
    assert regression_check(contest, desk.database).passed
    again = desk.contest(lenient, rows_of(24), *prompts)
    assert "it scored 100.0%" in (regression_check(again, desk.database).description or "")
