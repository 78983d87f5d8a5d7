"""Two prompts judged side by side, in both orders, and what the gate makes of it."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest
from evaluation.desk import Desk, rows_of, task_of
from evaluation.scripted_judge import judged, part, prefers_longer, with_judge
from servers.openai_server import OpenAIServer

from domain.dataset import Split
from domain.prompt import PromptVersion
from resources.evaluation.decide import Contest

TEXT = {"output": {"kind": "text"}}
PAIRWISE: dict[str, Any] = {"model": "openai/judge", "rubric": "A good answer has many words."}
ROWS = rows_of(44)
TESTED = [row for row in ROWS if row.split is Split.TEST]


def number_of(body: dict[str, Any]) -> int:
    return int(body["messages"][-1]["content"].rsplit(" ", 1)[1])


def paired_task(**changes: Any) -> Any:
    gate = {"pairwise": PAIRWISE, **changes}
    return task_of([{"kind": "regex", "pattern": "."}], prompt=TEXT, gate=gate)


def is_new(body: dict[str, Any]) -> bool:
    return body["messages"][0]["content"].startswith("New.")


def hold(desk: Desk, task: Any) -> tuple[Contest, PromptVersion, PromptVersion]:
    production = task.prompt.version()
    candidate = production.with_steps((production.steps[0].model_copy(update={"system_prompt": "New."}),))
    return desk.contest(task, ROWS, production, candidate), production, candidate


def test_a_preferred_candidate_is_promoted_though_the_metric_sees_no_difference(
    desk: Desk, server: OpenAIServer
) -> None:
    server.behaviour = with_judge(lambda body: "two words" if is_new(body) else "one", prefers_longer)
    contest, production, candidate = hold(desk, paired_task())
    decision = contest.decision

    assert contest.test[candidate.id].record.score == contest.test[production.id].record.score == 1
    assert decision.verdict == "promote"
    assert decision.comparison["pairwise"]["preferred"] == len(TESTED)
    assert decision.comparison["comparison"]["difference"] == 1
    assert decision.reason.startswith(f"Judged in pairs, the candidate is preferred on {len(TESTED)} rows")
    asked = judged(server.requests)
    assert len(asked) == 2 * len(TESTED)
    orders = {(part(body, "first_answer"), part(body, "second_answer")) for body in asked}
    assert orders == {("two words", "one"), ("one", "two words")}
    assert contest.effort().paid_nano_usd == server.invoice_nano_usd()


def test_a_judge_that_goes_by_the_order_gives_ties_and_nothing_is_promoted(desk: Desk, server: OpenAIServer) -> None:
    server.behaviour = with_judge(lambda body: "aaa bbb" if is_new(body) else "ccc ddd", prefers_longer)
    contest, _, _ = hold(desk, paired_task())
    found = contest.decision.comparison["pairwise"]

    assert contest.decision.verdict == "reject"
    assert (found["ties"], found["swayed_by_order"], found["preferred"]) == (len(TESTED), len(TESTED), 0)
    assert contest.decision.comparison["comparison"]["difference"] == 0


def test_equal_answers_tie_and_unreadable_ones_lose_without_the_judge(desk: Desk, server: OpenAIServer) -> None:
    def answer(body: dict[str, Any]) -> str:
        return "nonsense" if is_new(body) and number_of(body) % 2 else "shed"

    server.behaviour = with_judge(answer, prefers_longer)
    task = task_of([{"kind": "regex", "pattern": "."}], gate={"pairwise": PAIRWISE})
    contest, _, _ = hold(desk, task)
    odd = [row for row in TESTED if int(row.row_id[1:]) % 2]

    assert judged(server.requests) == []
    assert contest.decision.verdict == "reject"
    found = contest.decision.comparison["pairwise"]
    assert (found["not_preferred"], found["ties"]) == (len(odd), len(TESTED) - len(odd))


def test_the_rows_are_stored_and_the_same_again_is_free(desk: Desk, server: OpenAIServer) -> None:
    def moody(body: dict[str, Any]) -> str:
        number = int(part(body, "task_input").rsplit(" ", 1)[1])
        better = {0: "first", 1: "second"}.get(number % 3)
        return prefers_longer(body) if better is None else json.dumps({"reason": "by place", "better": better})

    server.behaviour = with_judge(lambda body: "two words" if is_new(body) else "one", moody)
    contest, _, _ = hold(desk, paired_task())
    found = contest.decision.comparison["pairwise"]
    table = pd.read_parquet(desk.folder / "storage" / found["storage_path"])
    thirds = table["row_id"].str[1:].astype(int) % 3

    assert len(table) == len(TESTED)
    assert set(table[thirds == 2]["preference"]) == {1.0}
    assert set(table[thirds != 2]["preference"]) == {0.5}
    assert found["swayed_by_order"] == (thirds != 2).sum()
    assert table["reason"].str.contains(r" \| ").all()
    assert all(len(calls) == 2 for calls in table["judge_call_ids"])
    assert table["judge_cost_nano_usd"].sum() == server.invoice_nano_usd("judge")

    asked = len(server.bodies)
    again, _, _ = hold(desk, paired_task())
    assert len(server.bodies) == asked
    assert again.decision == contest.decision
    stricter, _, _ = hold(desk, paired_task(alpha=0.001))
    assert len(server.bodies) == asked
    assert stricter.decision.id != contest.decision.id


@pytest.mark.parametrize(("failing", "verdict"), [(0, "promote"), (1, "promote"), (4, "reject")])
def test_pairs_the_judge_fails_on_are_left_out_and_many_are_refused(
    desk: Desk, server: OpenAIServer, failing: int, verdict: str
) -> None:
    broken = {row.inputs["text"] for row in TESTED[:failing]}

    def fails_on_some(body: dict[str, Any]) -> str:
        return "hm" if part(body, "task_input").removeprefix("text: ") in broken else prefers_longer(body)

    server.behaviour = with_judge(lambda body: "two words" if is_new(body) else "one", fails_on_some)
    contest, _, _ = hold(desk, paired_task(max_unscored=0.1))
    assert contest.decision.verdict == verdict
    assert contest.decision.comparison["pairwise"]["judge_errors"] == failing
    assert contest.decision.comparison["unscored_rows"] == failing
