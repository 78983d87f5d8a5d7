"""Production asked afresh: the first check sets the reference, later ones are held against it, none is paid twice."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from evaluation.desk import LABELS, NOW, Desk, rows_of, task_of
from servers.openai_server import Fault

from domain.errors import PromptoryError
from resources.database.repositories import evaluations
from resources.database.repositories.production_checks import ProductionCheck
from resources.evaluation.production_check import check_production
from resources.llm import open_client

TASK = task_of([{"kind": "choice_label"}], drift={"alpha": 0.1})
ROWS = rows_of(120)


def check(desk: Desk) -> ProductionCheck:
    async def run() -> ProductionCheck:
        async with open_client(desk.core()) as llm:
            dataset = desk.dataset(ROWS)

            def engine(sample: int) -> Any:
                return desk.engine(TASK, dataset, llm, sample=sample, purpose="check", recorded=False)

            production = desk.register(TASK, TASK.prompt.version())
            made, _ = await check_production(TASK, dataset, production, desk.database, engine, lambda: NOW)
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
