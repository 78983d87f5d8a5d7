"""An evaluation in sum."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from domain.errors import EvaluatorError
from domain.evaluators.row_score import RowScore, ScoreStatus
from domain.statistics.intervals import mean_interval
from resources.evaluation.results import ExampleResult

MAX_LABELS = 200


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """The mean of one evaluator over the rows it could score, with its 95 % interval.

    Attributes:
        mean, low, high, method: None where it could score no row.
        scored: rows behind the mean, unparsable answers (which score 0) among them.
        unparsable: answers it could not read.
        errors: rows left without a score, since the evaluator or the judge failed on them.
        failed_judgements: of all judgements, those that could not be had or read, also where others gave a score.
        within_row_variance: mean sample variance between repeated judgements of one row; None without repetition.
    """

    mean: float | None
    low: float | None
    high: float | None
    method: str | None
    scored: int
    unparsable: int
    errors: int
    failed_judgements: int
    within_row_variance: float | None


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """An evaluation in sum.

    Money, tokens and latency are those of making the answers, whoever paid first; judges' money stands apart.

    Attributes:
        problems: rows by the gravest thing that happened to them: `unparsable`, `evaluator_error`, `judge_error`.
        by_label: rows and mean score by expected label; empty where there are more than 200 labels.
        calibration: by judge, its agreement with people on `dev`; see `domain.statistics.agreement`.
    """

    rows: int
    metrics: dict[str, MetricSummary]
    problems: dict[str, int]
    cost_nano_usd: int
    judge_cost_nano_usd: int
    input_tokens: int
    output_tokens: int
    latency_p50_s: float
    latency_p95_s: float
    by_label: dict[str, dict[str, float]]
    calibration: dict[str, dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return json.loads(json.dumps(asdict(self)))


def summarise(
    examples: Sequence[ExampleResult], calibration: dict[str, dict[str, Any]] | None = None
) -> EvaluationSummary:
    """Means with intervals, problems, money, tokens, latency and a breakdown by expected label.

    Raises:
        EvaluatorError: the metric could score no row at all; names the first one's problem.
        InputError: there is no example.
    """
    latencies = sorted(example.latency_s for example in examples)
    names = list(examples[0].scores) if examples else []
    metrics = {name: _metric([example.scores[name] for example in examples]) for name in names}
    if examples and metrics[examples[0].metric].scored == 0:
        first = examples[0]
        raise EvaluatorError(
            f"{first.metric} could score none of {len(examples)} rows; row {first.row_id}: {first.reason}",
            field=f"evaluators.{first.metric}",
            mend="mend the evaluator; the answers are kept, so evaluating again pays for none of them.",
        )
    statuses = Counter(str(example.status) for example in examples)
    return EvaluationSummary(
        rows=len(examples),
        metrics=metrics,
        problems={str(status): statuses[str(status)] for status in ScoreStatus if status is not ScoreStatus.OK},
        cost_nano_usd=sum(example.cost_nano_usd for example in examples),
        judge_cost_nano_usd=sum(score.cost_nano_usd for example in examples for score in example.scores.values()),
        input_tokens=sum(example.input_tokens for example in examples),
        output_tokens=sum(example.output_tokens for example in examples),
        latency_p50_s=_percentile(latencies, 0.50),
        latency_p95_s=_percentile(latencies, 0.95),
        by_label=_by_label(examples),
        calibration=calibration or {},
    )


def _metric(scores: Sequence[RowScore]) -> MetricSummary:
    values = [score.value for score in scores if score.value is not None]
    interval = mean_interval(values, confidence=0.95) if values else None
    variances = [score.variance for score in scores if score.variance is not None]
    return MetricSummary(
        mean=interval.mean if interval else None,
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        method=interval.method if interval else None,
        scored=len(values),
        unparsable=sum(score.status is ScoreStatus.UNPARSABLE for score in scores),
        errors=len(scores) - len(values),
        failed_judgements=sum(score.failed_judgements for score in scores),
        within_row_variance=sum(variances) / len(variances) if variances else None,
    )


def _by_label(examples: Sequence[ExampleResult]) -> dict[str, dict[str, float]]:
    groups: dict[str, list[float]] = {}
    for example in examples:
        if isinstance(example.expected, str) and example.score is not None:
            groups.setdefault(example.expected, []).append(example.score)
    if len(groups) > MAX_LABELS:
        return {}
    return {
        label: {"rows": len(scores), "score": sum(scores) / len(scores)} for label, scores in sorted(groups.items())
    }


def _percentile(ordered: Sequence[float], share: float) -> float:
    if not ordered:
        return 0.0
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
