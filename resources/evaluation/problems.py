"""What a recorded evaluation should make people wary of: what went wrong in it, and judges nobody agrees with."""

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


def calibrations(summaries: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Each judge's agreement with people, by its name, as the last of these evaluation summaries has it."""
    found: dict[str, dict[str, Any]] = {}
    for summary in summaries:
        found.update(summary.get("calibration", {}))
    return found


def calibration_text(name: str, found: Mapping[str, Any]) -> str:
    """One judge's agreement with people in a line."""
    if found.get("kappa") is None:
        return f"{name}: {found['graded']} graded answers, which show no agreement and no disagreement"
    weighted = f", weighted {found['weighted_kappa']:.2f}" if len(found["grades"]) > 2 else ""
    return (
        f"{name} agrees with people on {found['accuracy']:.0%} of {found['rows']} answers "
        f"(kappa {found['kappa']:.2f}{weighted}); {found['failed']} could not be judged"
    )
