"""What goes wrong is counted and shown: an unreadable answer scores 0, a failed evaluator scores nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from evaluation.desk import LABELS, Desk, rows_of, task_of
from servers.openai_server import OpenAIServer

from domain.dataset import Split
from domain.errors import EvaluatorError
from resources.evaluation.problems import problem_counts, problem_text

ROWS = rows_of(40)
TEXT = {"output": {"kind": "text"}}


def number_of(body: dict[str, Any]) -> int:
    return int(body["messages"][-1]["content"].rsplit(" ", 1)[1])


def mumbles(body: dict[str, Any]) -> str:
    """No label at all for every fourth crate."""
    return "I would say the garden" if number_of(body) % 4 == 0 else LABELS[0]


def test_unparsable_answers_score_zero_and_are_counted(desk: Desk, server: OpenAIServer) -> None:
    server.behaviour = mumbles
    done = desk.evaluate(task_of([{"kind": "choice_label"}, {"kind": "contains"}]), ROWS)
    bad = [one for one in done.examples if int(one.row_id[1:]) % 4 == 0]
    summary = done.record.summary

    assert 0 < len(bad) < len(done.examples)
    assert summary["problems"] == {"unparsable": len(bad), "evaluator_error": 0, "judge_error": 0}
    assert summary["metrics"]["choice_label"]["unparsable"] == len(bad)
    assert summary["metrics"]["choice_label"]["scored"] == len(done.examples) == done.record.rows
    assert summary["metrics"]["choice_label"]["errors"] == 0
    assert done.record.score == pytest.approx(1 - len(bad) / len(done.examples))
    assert problem_text(summary) == f"{len(bad)} unparsable"


def test_the_examples_are_readable_and_tell_every_row(desk: Desk, server: OpenAIServer) -> None:
    server.behaviour = mumbles
    done = desk.evaluate(task_of([{"kind": "choice_label"}, {"kind": "contains"}]), ROWS)
    table = desk.examples(done)

    assert list(table["row_id"]) == [one.row_id for one in done.examples]
    assert [json.loads(text) for text in table["inputs"]] == [one.inputs for one in done.examples]
    assert {json.loads(text) for text in table["expected"]} == {LABELS[0]}
    unreadable = table[table["row_id"].str[1:].astype(int) % 4 == 0]
    assert set(unreadable["status"]) == set(unreadable["status.choice_label"]) == {"unparsable"}
    assert unreadable["problem"].str.contains("none of the declared labels").all()
    assert set(unreadable["score"]) == {0.0}
    readable = table[table["status"] == "ok"]
    assert readable["problem"].isna().all()
    assert set(readable["score.choice_label"]) == set(readable["score.contains"]) == {1.0}
    assert len(readable) + len(unreadable) == len(table)
    assert table["cost_nano_usd"].sum() == server.invoice_nano_usd() == done.effort.paid_nano_usd
    assert all(len(calls) == 1 for calls in table["call_ids"])
    assert len({calls[0] for calls in table["call_ids"]}) == len(table)
    assert (table["latency_s"] > 0).all()


def test_a_step_that_breaks_its_contract_is_named(desk: Desk, server: OpenAIServer) -> None:
    """A pattern that matches anything would otherwise reward the empty answer of such a row."""
    steps = [
        {"name": "find", "output_prompt": "Find: {{ text }}", "output": {"kind": "number"}},
        {"name": "say", "output_prompt": "Say {{ find }} of {{ text }}", "output": {"kind": "text"}},
    ]
    server.behaviour = lambda body: "no number" if body["messages"][-1]["content"] == "Find: crate 3" else "7"
    rows = rows_of(8)
    task = task_of([{"kind": "regex", "pattern": ".*"}], prompt={})
    task = task.model_copy(
        update={"prompt": type(task.prompt).model_validate({"model": "openai/scripted", "steps": steps})}
    )
    splits = {row.row_id: row.split for row in rows}
    done = desk.evaluate(task, rows, splits["r3"])
    broken = next(one for one in done.examples if one.row_id == "r3")

    assert broken.score == 0
    assert "step find breaks its contract" in (broken.problem or "")
    assert len(broken.call_ids) == 1
    assert {len(one.call_ids) for one in done.examples if one.row_id != "r3"} == {2}
    assert done.record.summary["problems"]["unparsable"] == 1
    again = desk.evaluate(task, rows, splits["r3"])
    assert [(one.problem, one.call_ids, one.score) for one in again.examples] == [
        (one.problem, one.call_ids, one.score) for one in done.examples
    ]


def test_an_evaluator_that_fails_leaves_the_row_without_a_score(desk: Desk, server: OpenAIServer) -> None:
    """`numeric` cannot score an expected value that is no number; no dataset file would have let it in."""
    server.behaviour = lambda _: "7"
    rows = [*rows_of(20, label="7"), *rows_of(20, first=20, label="seven")]
    done = desk.evaluate(task_of([{"kind": "numeric"}], prompt=TEXT), rows)
    unscored = [one for one in done.examples if int(one.row_id[1:]) >= 20]

    assert [one.score for one in unscored] == [None] * len(unscored)
    assert done.record.summary["metrics"]["numeric"]["errors"] == len(unscored) > 0
    assert done.record.summary["problems"]["evaluator_error"] == len(unscored)
    assert done.record.score == 1.0
    assert done.record.rows == len(done.examples) == done.record.summary["metrics"]["numeric"]["scored"] + len(unscored)
    table = desk.examples(done)
    assert table["score"].isna().sum() == len(unscored)
    assert set(table[table["score"].isna()]["status"]) == {"evaluator_error"}
    assert table[table["score"].isna()]["problem"].str.contains("not a number").all()


def test_an_evaluation_that_could_score_nothing_is_refused(desk: Desk) -> None:
    with pytest.raises(EvaluatorError, match=r"numeric could score none of \d+ rows; row r\d+") as caught:
        desk.evaluate(task_of([{"kind": "numeric"}], prompt=TEXT), rows_of(10, label="seven"))
    assert caught.value.field == "evaluators.numeric"


@pytest.mark.parametrize(("failing", "verdict", "looks"), [(0, "promote", 1), (1, "promote", 1), (12, "reject", 1)])
def test_the_gate_leaves_out_rows_without_a_score_and_refuses_many(
    desk: Desk, server: OpenAIServer, failing: int, verdict: str, looks: int
) -> None:
    server.behaviour = lambda body: "7" if body["messages"][0]["content"] == "New." else "8"
    rows = [*rows_of(60, label="7"), *rows_of(failing, first=60, label="seven", dev=0.0, test=1.0)]
    task = task_of([{"kind": "numeric"}], prompt=TEXT, gate={"max_unscored": 0.1})
    production = task.prompt.version()
    candidate = production.with_steps((production.steps[0].model_copy(update={"system_prompt": "New."}),))
    contest = desk.contest(task, rows, production, candidate)

    assert contest.decision.verdict == verdict
    assert contest.decision.look == looks
    assert problem_counts([contest.test[candidate.id].record.summary])["evaluator_error"] == failing
    if verdict == "reject":
        assert "have no score in one arm or both" in contest.decision.reason
        assert contest.decision.comparison == {"unscored_rows": failing}
    else:
        assert contest.decision.comparison["unscored_rows"] == failing
        assert ("without a score were left out" in contest.decision.reason) is bool(failing)
        tested = sum(row.split is Split.TEST for row in rows)
        assert contest.decision.comparison["comparison"]["n"] == tested - failing
