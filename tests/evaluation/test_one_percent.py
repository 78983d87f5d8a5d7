"""One row in a hundred changes: one in a hundred is answered and judged again, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from evaluation.desk import Desk, rows_of, task_of
from evaluation.scripted_judge import judged, part, with_judge
from servers.openai_server import OpenAIServer

from domain.dataset import Split

JUDGE: dict[str, Any] = {"kind": "judge", "model": "openai/judge", "rubric": "A good answer has many words."}


@pytest.mark.parametrize("rows", [200, pytest.param(3_000, marks=pytest.mark.slow)])
def test_a_changed_row_in_a_hundred_is_one_answer_and_one_judgement(
    desk: Desk, server: OpenAIServer, rows: int
) -> None:
    server.behaviour = with_judge(lambda body: body["messages"][-1]["content"])
    task = task_of([{"kind": "contains"}, JUDGE], prompt={"output": {"kind": "text"}})
    before, changed, new = rows_of(rows), rows // 100, rows // 200
    for split in (Split.DEV, Split.TEST):
        desk.evaluate(task, before, split)
    assert len(server.bodies) == 2 * rows

    # The last ones get another text, and a few come on top.
    after = [*rows_of(rows - changed), *rows_of(changed + new, first=rows)]
    evaluated = [desk.evaluate(task, after, split) for split in (Split.DEV, Split.TEST)]
    again = server.requests[2 * rows :]
    answered = [body["messages"][-1]["content"] for body in again if body["model"] == "scripted"]
    graded = [part(body, "task_input") for body in judged(again)]

    fresh = {row.inputs["text"] for row in after[rows - changed :]}
    assert sorted(answered) == sorted(f"Text: {text}" for text in fresh)
    assert sorted(graded) == sorted(f"text: {text}" for text in fresh)
    assert len(answered) == len(graded) == changed + new <= rows / 100 + new
    assert sum(one.record.rows for one in evaluated) == rows + new
    assert sum(one.effort.reused for one in evaluated) == 2 * (rows - changed)


def test_a_changed_label_asks_the_judge_only_where_it_sees_the_label(desk: Desk, server: OpenAIServer) -> None:
    server.behaviour = with_judge(lambda body: body["messages"][-1]["content"])
    before = rows_of(40)
    relabelled = [*rows_of(36), *rows_of(4, first=36, label="attic")]
    for shown, asked_again in ((True, sum(row.split is Split.DEV for row in relabelled[36:])), (False, 0)):
        task = task_of([{**JUDGE, "show_expected": shown}], prompt={"output": {"kind": "text"}})
        desk.evaluate(task, before)
        asked = len(server.bodies)
        desk.evaluate(task, relabelled)
        assert len(server.bodies) - asked == asked_again
