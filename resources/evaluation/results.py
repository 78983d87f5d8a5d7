"""What an evaluation found: per example and in sum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from upath import UPath

from domain.dataset import Row
from domain.evaluators.registry import Evaluator
from domain.identity import canonical_json
from domain.statistics.intervals import mean_interval
from resources.evaluation.answers import Answer
from resources.storage.atomic import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "evaluations"
MAX_LABELS = 200


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """One row's answer and scores. `score` is the first evaluator's; `scores` has them all by name."""

    row_id: str
    input_id: str
    inputs: dict[str, str]
    expected: Any
    answer: str
    score: float
    reason: str
    scores: dict[str, float]
    call_id: str
    cost_nano_usd: int
    latency_s: float


@dataclass(frozen=True, slots=True)
class MetricSummary:
    """The mean of one evaluator with its 95 % interval."""

    mean: float
    low: float
    high: float
    method: str


@dataclass(frozen=True, slots=True)
class EvaluationSummary:
    """An evaluation in sum. Money and latency are those of making the answers, whoever paid first."""

    rows: int
    metrics: dict[str, MetricSummary]
    cost_nano_usd: int
    input_tokens: int
    output_tokens: int
    latency_p50_s: float
    latency_p95_s: float
    by_label: dict[str, dict[str, float]]

    def as_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def score_examples(
    rows: Sequence[Row], answers: dict[str, Answer], evaluators: Sequence[Evaluator]
) -> list[ExampleResult]:
    """Every row's scores, in the order of `rows`."""
    return [_score_one(row, answers[row.input_id], evaluators) for row in rows]


def summarise(examples: Sequence[ExampleResult], answers: dict[str, Answer]) -> EvaluationSummary:
    """Means with intervals, money, tokens, latency and a breakdown by expected label.

    Raises:
        InputError: there is no example.
    """
    latencies = sorted(example.latency_s for example in examples)
    return EvaluationSummary(
        rows=len(examples),
        metrics={name: _metric(name, examples) for name in examples[0].scores} if examples else {},
        cost_nano_usd=sum(example.cost_nano_usd for example in examples),
        input_tokens=sum(answers[example.input_id].input_tokens for example in examples),
        output_tokens=sum(answers[example.input_id].output_tokens for example in examples),
        latency_p50_s=_percentile(latencies, 0.50),
        latency_p95_s=_percentile(latencies, 0.95),
        by_label=_by_label(examples),
    )


def write_examples(root: UPath, evaluation_id: str, examples: Sequence[ExampleResult]) -> str:
    """Store the examples as Parquet; gives the path relative to `root`."""
    import pyarrow.parquet as pq

    relative = f"{FOLDER}/{evaluation_id}.parquet"
    table = _table(examples)
    write_atomically(root / relative, lambda stream: pq.write_table(table, stream, compression="zstd"))
    return relative


def _score_one(row: Row, answer: Answer, evaluators: Sequence[Evaluator]) -> ExampleResult:
    scores = {evaluator.name: evaluator.score(row.output, answer.text) for evaluator in evaluators}
    first = scores[evaluators[0].name]
    return ExampleResult(
        row_id=row.row_id,
        input_id=row.input_id,
        inputs=row.inputs,
        expected=row.output,
        answer=answer.text,
        score=first.value,
        reason=first.reason,
        scores={name: score.value for name, score in scores.items()},
        call_id=answer.call_id,
        cost_nano_usd=answer.cost_nano_usd,
        latency_s=answer.latency_s,
    )


def _metric(name: str, examples: Sequence[ExampleResult]) -> MetricSummary:
    interval = mean_interval([example.scores[name] for example in examples], confidence=0.95)
    return MetricSummary(interval.mean, interval.low, interval.high, interval.method)


def _by_label(examples: Sequence[ExampleResult]) -> dict[str, dict[str, float]]:
    groups: dict[str, list[float]] = {}
    for example in examples:
        if isinstance(example.expected, str):
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


def _table(examples: Sequence[ExampleResult]) -> pa.Table:
    import pyarrow as pa

    records = [
        {
            **asdict(example),
            "inputs": canonical_json(example.inputs),
            "expected": canonical_json(example.expected),
            "scores": canonical_json(example.scores),
        }
        for example in examples
    ]
    return pa.Table.from_pylist(records)
