"""Two prompts that met before meet again: over other answers it is another question, over the same ones it is none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.desk import LABELS, Desk, rows_of, task_of
from sqlalchemy import update

from resources.database.tables import GateDecisionRow
from resources.evaluation.decide import Contest

TASK = task_of([{"kind": "choice_label"}])
ROWS = rows_of(40)
PRODUCTION = TASK.prompt.version()
CANDIDATE = PRODUCTION.with_steps((PRODUCTION.steps[0].model_copy(update={"system_prompt": "New."}),))
RIGHT, WRONG = LABELS


def is_new(body: Mapping[str, Any]) -> bool:
    return str(body["messages"][0]["content"]).startswith("New.")


def meet(desk: Desk, *, new: str, old: str, sample: int = 0) -> Contest:
    desk.server.behaviour = lambda body: new if is_new(body) else old
    return desk.contest(TASK, ROWS, PRODUCTION, CANDIDATE, sample=sample)


def test_a_candidate_that_was_kept_out_is_put_to_the_gate_when_production_has_drifted(desk: Desk) -> None:
    kept = meet(desk, new=WRONG, old=RIGHT).decision
    assert (kept.verdict, kept.look) == ("keep", 0)

    still = meet(desk, new=WRONG, old=RIGHT, sample=6).decision
    assert still.verdict == "keep"
    assert still.id != kept.id

    drifted = meet(desk, new=RIGHT, old=WRONG, sample=7)
    assert (drifted.decision.verdict, drifted.decision.look) == ("promote", 1)
    asked = len(desk.server.requests)
    assert meet(desk, new=RIGHT, old=WRONG, sample=7).decision == drifted.decision
    assert len(desk.server.requests) == asked


def test_a_rejection_holds_for_the_answers_it_rests_on_and_fresh_ones_are_a_further_look(desk: Desk) -> None:
    rejected = meet(desk, new=RIGHT, old=RIGHT).decision
    assert (rejected.verdict, rejected.look) == ("reject", 1)
    assert meet(desk, new=RIGHT, old=WRONG).decision == rejected  # the answers are kept

    afresh = meet(desk, new=RIGHT, old=WRONG, sample=7).decision
    assert (afresh.verdict, afresh.look) == ("promote", 2)


def test_a_keep_that_an_earlier_release_stored_under_the_gates_id_does_not_stand_in_for_a_look(desk: Desk) -> None:
    decided = meet(desk, new=RIGHT, old=WRONG).decision
    with desk.database.session() as session:
        session.execute(update(GateDecisionRow).values(verdict="keep", look=0))
    asked = meet(desk, new=RIGHT, old=WRONG).decision
    assert (asked.verdict, asked.look) == ("promote", 1)
    assert asked.id != decided.id
    assert meet(desk, new=RIGHT, old=WRONG).decision == asked
