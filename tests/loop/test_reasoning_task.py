"""A task whose step reasons before it answers, on rows of GSM8K: searched, evaluated, promoted and called.

`PROMPTORY_TEST_DATA` names a folder with `gsm8k/train.jsonl`, as the data set's authors publish it.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from loop.workplace import TARIFFS, Workplace, over_http, task_values
from servers.openai_server import OpenAIServer

from domain.contracts import ANSWER_MARKER, REASONING_LEAD
from resources.database.repositories import prompt_versions

GSM8K = Path(os.environ.get("PROMPTORY_TEST_DATA", "test-data")) / "gsm8k" / "train.jsonl"
TASK = "crates"
ROWS = 90

pytestmark = pytest.mark.skipif(not GSM8K.exists(), reason="the rows of GSM8K are not here")


def solutions() -> dict[str, tuple[str, str]]:
    """Worked solution and final number by question."""
    rows = [json.loads(line) for line in GSM8K.read_text().splitlines()[:ROWS]]
    return {row["question"]: tuple(part.strip() for part in row["answer"].split("####")) for row in rows}


class Pupil:
    """Works every other question out; all of them once it is shown how a worked answer looks."""

    def __init__(self) -> None:
        self._solutions = solutions()
        self._order = list(self._solutions)

    def __call__(self, body: dict[str, Any]) -> str:
        *shown, asked = [message["content"] for message in body["messages"]]
        assert REASONING_LEAD in shown[0]
        question = asked.removeprefix("Question: ")
        working, number = self._solutions[question]
        if self._order.index(question) % 2 and not any("<<" in text for text in shown[1:]):
            return f"{ANSWER_MARKER} 1"
        return f"{working}\n{ANSWER_MARKER} ${number}."


def test_reasoning_from_search_to_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with OpenAIServer(behaviour=Pupil(), tariffs=TARIFFS) as server:
        place = Workplace(tmp_path, settings=over_http(server))
        place.write_rows([])
        lines = GSM8K.read_text().splitlines()[:ROWS]
        (place.source.parent / "gsm8k.jsonl").write_text("\n".join(lines) + "\n")
        place.write_task(reasoning_task())
        place.prepare()
        report = place.run()
        searched = report.metadata["optimization_run"]
        assert searched["dev_score"] == 1.0
        with place.database() as database, database.session(read_only=True) as session:
            winner = prompt_versions.get(session, TASK, str(searched["result_version_id"]))
        demonstrations = winner.prompt.steps[0].demonstrations
        assert demonstrations
        assert all("<<" in one.output.partition(ANSWER_MARKER)[0] for one in demonstrations), "the reasoning is shown"
        assert report.metadata["promotion"]["production"] == winner.id
        question, (_, number) = next(iter(solutions().items()))
        answer = place.command("call", TASK, "--input", f"question={question}")
        assert (answer["value"], answer["meets_contract"]) == (float(number), True)
        assert "<<" in answer["answer"]


def reasoning_task() -> dict[str, Any]:
    return task_values(
        dataset={
            "source": "../datasets/gsm8k.jsonl",
            "inputs": ["question"],
            "output": "answer",
            "answer_pattern": r"####\s*(\S+)\s*$",
            "split": {"seed": 1, "train": 0.3, "dev": 0.2, "test": 0.5},
        },
        prompt={
            "model": "openai/scripted",
            "parameters": {"temperature": 0.0, "max_output_tokens": 400},
            "system_prompt": "Solve the word problem.",
            "output_prompt": "Question: {{ question }}",
            "output": {"kind": "number", "reasoning": True},
        },
        evaluators=[{"kind": "numeric"}],
        optimizer={"kind": "bootstrap_few_shot", "max_bootstrapped": 2, "max_labeled": 0, "reference_draws": 0},
        budget={"run_usd": "0.50"},
    )
