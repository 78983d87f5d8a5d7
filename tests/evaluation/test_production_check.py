"""Production asked afresh: the first check sets the reference, later ones are held against it, none is paid twice."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from evaluation.desk import LABELS, NOW, Desk, rows_of, task_of
from servers.openai_server import Fault

from domain.dataset import Row
from domain.errors import PromptoryError
from domain.statistics.alpha_spending import alpha_for_look
from domain.task import Task
from resources.database.repositories import evaluations
from resources.database.repositories.production_checks import ProductionCheck
from resources.evaluation.production_check import SHARE_OF_SCORES, check_production
from resources.llm import open_client

TASK = task_of([{"kind": "choice_label"}], drift={"alpha": 0.1})
ROWS = rows_of(120)


def check(desk: Desk, rows: Sequence[Row] = ROWS, task: Task = TASK) -> ProductionCheck:
    async def run() -> ProductionCheck:
        async with open_client(desk.core()) as llm:
            dataset = desk.dataset(rows, task.name)

            def engine(sample: int) -> Any:
                return desk.engine(task, dataset, llm, sample=sample, purpose="check", recorded=False)

            production = desk.register(task, task.prompt.version())
            made, _ = await check_production(task, dataset, production, desk.database, engine, lambda: NOW)
            return made

    return asyncio.run(run())


def test_a_model_that_changed_is_found_and_one_that_did_not_is_not(desk: Desk) -> None:
    desk.server.behaviour = lambda _body: LABELS[0]
    dev_rows = len(desk.evaluate(TASK, ROWS).examples)

    first = check(desk)
    asked = len(desk.server.requests)
    assert asked == 2 * dev_rows  # afresh, not from the answers that are kept
    assert (first.look, first.worse, first.score) == (0, False, 1.0)

    same = check(desk)
    assert len(desk.server.requests) == asked + dev_rows  # the reference's answers are kept
    assert (same.look, same.worse, same.difference) == (1, False, 0.0)

    desk.server.behaviour = lambda _body: LABELS[1]
    worse = check(desk)
    assert (worse.look, worse.worse, worse.difference) == (2, True, -1.0)
    assert worse.alpha < same.alpha

    with desk.database.session(read_only=True) as session:
        assert len(evaluations.list_evaluations(session, TASK.name)) == 1  # the others are not put beside it


def test_a_check_that_broke_off_goes_on_and_pays_for_the_rest(desk: Desk) -> None:
    desk.server.behaviour = lambda _body: LABELS[0]
    desk.concurrency = 1
    desk.server.faults = lambda index, _body: Fault(status=400) if index == 10 else None
    with pytest.raises(PromptoryError):
        check(desk)
    check(desk)
    dev_rows = check(desk).rows
    assert len(desk.server.requests) == 2 * dev_rows + 1


def test_a_dataset_that_grows_between_checks_keeps_the_reference_and_the_looks(desk: Desk) -> None:
    desk.server.behaviour = lambda _body: LABELS[0]
    first = check(desk)
    grown = [check(desk, rows_of(120 + more)) for more in (40, 80)]
    assert [(one.look, one.rows, one.worse) for one in grown] == [(1, first.rows, False), (2, first.rows, False)]
    assert len(desk.server.requests) == 3 * first.rows  # rows that have no reference are not asked

    desk.server.behaviour = lambda _body: LABELS[1]
    worse = check(desk, rows_of(240))
    assert (worse.look, worse.worse, worse.difference) == (3, True, -1.0)
    assert worse.alpha == alpha_for_look(TASK.drift.alpha * SHARE_OF_SCORES, 3)


def test_a_reference_of_which_few_rows_are_left_is_replaced_and_that_spends_no_look(desk: Desk) -> None:
    desk.server.behaviour = lambda _body: LABELS[0]
    small, grown = rows_of(8), rows_of(40)
    first = check(desk, small)
    assert check(desk, small).look == 1
    renewed = check(desk, grown)
    assert renewed.look == 0
    assert renewed.rows > 2 * first.rows
    again, before = check(desk, grown), check(desk, small)
    assert [(one.look, one.rows) for one in (again, before)] == [(2, renewed.rows), (3, first.rows)]


def test_answers_that_an_evaluation_drew_are_no_reference(desk: Desk) -> None:
    desk.server.behaviour = lambda _body: LABELS[0]
    drawn = [desk.evaluate(TASK, ROWS, sample=sample) for sample in (1, 2)]
    asked = len(desk.server.requests)
    first = check(desk)
    assert len(desk.server.requests) == asked + first.rows  # a prompt is chosen by what was drawn for an evaluation

    desk.server.behaviour = lambda _body: LABELS[1]
    assert check(desk).worse
    assert first.rows == len(drawn[0].examples)


def test_a_task_of_the_same_prompt_asks_for_itself(desk: Desk) -> None:
    desk.server.behaviour = lambda _body: LABELS[0]
    other = TASK.model_copy(update={"name": "boxes"})
    rows = check(desk).rows
    check(desk)
    assert check(desk, task=other).look == 0
    assert len(desk.server.requests) == 3 * rows
    desk.server.behaviour = lambda _body: LABELS[1]
    assert check(desk, task=other).worse  # not what the first task's second check was answered
