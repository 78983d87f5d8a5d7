"""Comparisons of prompts and rows of a test's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from domain.evaluators.row_score import RowScore
from domain.prompt import Demonstration, PromptStep, PromptVersion
from resources.comparison.comparison import Comparison, Side, count
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.evaluation.results import ExampleResult
from resources.evaluation.summary import summarise

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
Pair = tuple[str, Any, str, float, str, float]
MakeComparison = Callable[..., Comparison]


def examples(pairs: Sequence[Pair], side: int) -> list[ExampleResult]:
    """Of (text, expected, first answer, its score, second answer, its score): one side's."""
    return [
        ExampleResult(
            f"row-{number}", f"{number:064x}", {"text": pair[0]}, pair[1], pair[2 + 2 * side], "exact",
            {"exact": RowScore(pair[3 + 2 * side], "because")}, None, (f"call-{number}",), 100 + 100 * side,
            0.2 - 0.1 * side, 7, 3,
        )
        for number, pair in enumerate(pairs)
    ]  # fmt: skip


def prompt(system: str = "Say yes or no.", shown: Sequence[tuple[str, str]] = ()) -> PromptVersion:
    demonstrations = tuple(Demonstration(inputs={"text": text}, output=output) for text, output in shown)
    step = PromptStep(system_prompt=system, output_prompt="{{ text }}", demonstrations=demonstrations)
    return PromptVersion(steps=(step,), model="offline/nearest")


@pytest.fixture
def make_comparison() -> MakeComparison:
    def make(
        pairs: Sequence[Pair], before: PromptVersion | None = None, after: PromptVersion | None = None, **changes: Any
    ) -> Comparison:
        first, second = examples(pairs, 0), examples(pairs, 1)
        sides = [
            Side(_record(number, version), (), _evaluation(version, found))
            for number, version, found in ((1, before or prompt(), first), (2, after or prompt("Yes or no?"), second))
        ]
        values = {"split": "test", "figures": count(first, second), **changes}
        return Comparison("triage", *sides, **values)

    return make


def _record(number: int, version: PromptVersion) -> PromptVersionRecord:
    return PromptVersionRecord("triage", version.id, number, "triage", version, None, "author", NOW)


def _evaluation(version: PromptVersion, found: Sequence[ExampleResult]) -> EvaluationRecord:
    summary = summarise(found)
    metric = summary.metrics["exact"]
    return EvaluationRecord(
        "e" * 64, "triage", version.id, "d" * 64, "test", "exact", len(found), metric.mean, metric.low, metric.high,
        {**summary.as_dict(), "metrics": {"exact": vars_of(metric)}}, "none", NOW,
    )  # fmt: skip


def vars_of(metric: Any) -> dict[str, Any]:
    return {name: getattr(metric, name) for name in ("mean", "low", "high", "method")}
