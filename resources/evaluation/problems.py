"""What went wrong in a recorded evaluation, for people to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from domain.evaluators.row_score import ScoreStatus

_NAMES = {
    str(ScoreStatus.UNPARSABLE): "unparsable",
    str(ScoreStatus.EVALUATOR_ERROR): "evaluator errors",
    str(ScoreStatus.JUDGE_ERROR): "judge errors",
}


def problem_counts(summaries: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Rows by what went wrong with them, over all of these evaluation summaries; every kind is there, 0 included."""
    total: Counter[str] = Counter()
    for summary in summaries:
        total.update(summary.get("problems", {}))  # absent in evaluations of earlier releases
    return {kind: total[kind] for kind in _NAMES}


def problem_text(summary: Mapping[str, Any]) -> str:
    """`3 unparsable, 1 judge errors`; a dash where nothing went wrong."""
    counts = problem_counts([summary])
    return ", ".join(f"{count:,} {_NAMES[kind]}" for kind, count in counts.items() if count) or "–"
