"""A task with a judge, a function of one's own and graded answers, through the assets as Dagster runs them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loop.scripted_model import learns
from loop.workplace import EVALUATE, LABELS, TARIFFS, TASK, Example, Workplace, label_of, over_http, task_values
from servers.openai_server import OpenAIServer

from resources.database.repositories import ledger, optimization_runs

JUDGE: dict[str, Any] = {
    "kind": "judge",
    "model": "openai/scripted",
    "rubric": "RUBRIC: the right room gets the best grade.",
    "scale": {"lowest": 0, "highest": 1},
    "calibration": {"answer": "old", "grade": "human"},
}
ROWS = 72


def answers(body: dict[str, Any]) -> str:
    """The judge gives every answer the worst grade; the model answers as scripted, some rows with nonsense."""
    if "RUBRIC" in body["messages"][0]["content"]:
        return json.dumps({"reason": "I see it otherwise", "grade": 0})
    text = body["messages"][-1]["content"]
    return "the garden" if int(text[-30:].encode().hex(), 16) % 10 == 0 else learns(body)


def annotated(path: Path, rows: int) -> None:
    lines = ["text,label,old,human"]
    for one in map(Example, range(rows)):
        human = "1" if label_of(one.mark) == LABELS[one.number % 3] else "0"
        lines.append(f"{one.text},{one.label},{LABELS[one.number % 3]},{human}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(behaviour=answers, tariffs=TARIFFS) as running:
        yield running


@pytest.fixture
def place(
    make_workplace: Callable[..., Workplace], server: OpenAIServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Workplace:
    (tmp_path / "room_rules.py").write_text(
        "def short(expected, given, inputs):\n    return 1 / len(inputs)\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    evaluators = [{"kind": "choice_label"}, JUDGE, {"kind": "python", "path": "room_rules:short"}]
    made = make_workplace(ROWS, over_http(server), model="openai/scripted")
    annotated(made.source, ROWS)
    made.write_task(task_values(model="openai/scripted", evaluators=evaluators))
    return made


@pytest.mark.slow
def test_a_task_that_only_a_judge_scores_is_optimized_and_promoted(place: Workplace, server: OpenAIServer) -> None:
    def judged(body: dict[str, Any]) -> str:
        asked = body["messages"][-1]["content"]
        if "RUBRIC" not in body["messages"][0]["content"]:
            return learns(body)
        answer, wanted = (
            asked.partition(f"<{tag}>\n")[2].partition("\n<")[0] for tag in ("answer", "reference_answer")
        )
        return json.dumps({"reason": f"it is {wanted}", "grade": int(answer == wanted)})

    server.behaviour = judged
    alone = {name: value for name, value in JUDGE.items() if name != "calibration"}
    place.write_task(task_values(model="openai/scripted", evaluators=[alone]))
    report = place.run()
    assert report.metadata["evaluation"]["verdict"] == "promote"
    assert report.metadata["promotion"]["moved"] is True
    with place.database() as database, database.session(read_only=True) as session:
        (search,) = optimization_runs.list_optimization_runs(session, TASK)
        purposes = Counter(call.purpose for call in ledger.calls_of_run(session, search.id))
    assert set(purposes) == {"optimize", "judge"}
    asked = len(server.bodies)
    assert place.run().metadata["evaluation"]["verdict"] == "promote"
    assert len(server.bodies) == asked, "nothing is judged again"
    plan = place.command("optimize", TASK, "--dry-run", "--json")
    judging = [one for one in plan["stages"] if one["purpose"] == "judge"]
    assert [one["model"] for one in judging] == ["openai/scripted"]
    assert purposes["judge"] <= judging[0]["calls"]["at_most"]


def test_the_assets_show_problems_and_a_judge_nobody_agrees_with(place: Workplace, server: OpenAIServer) -> None:
    report = place.run(*EVALUATE)
    told = report.metadata["evaluation"]
    checks = {check.name: check for check in report.checks}

    assert told["unparsable_rows"] > 0
    assert (told["evaluator_error_rows"], told["judge_error_rows"]) == (0, 0)
    assert "unparsable" in told["scores"]
    assert told["judge_agreement"].startswith("judge agrees too little with people")
    assert "| people: 1 |" in told["judge_agreement"]
    assert (checks["scored_rows"].passed, checks["judge_agreement"].passed) == (True, False)
    assert f"{told['unparsable_rows']} answers break their output contract" in checks["scored_rows"].sentence
    assert round(told["cost_usd"] * 1_000_000_000) == server.invoice_nano_usd() > 0
