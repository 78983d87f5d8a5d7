"""What there is to say about two prompt versions that were evaluated on the same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.dataset import DatasetVersion
from domain.errors import InputError
from domain.statistics.paired import PairedComparison, compare_paired
from domain.statistics.saving import median_ratio, total_ratio
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.evaluation.results import ExampleResult


@dataclass(frozen=True, slots=True)
class Side:
    """One prompt version; `aliases` point at it, `evaluation` is None where nothing can be compared."""

    record: PromptVersionRecord
    aliases: tuple[str, ...] = ()
    evaluation: EvaluationRecord | None = None

    @property
    def name(self) -> str:
        """`v5`."""
        return f"v{self.record.version}"


@dataclass(frozen=True, slots=True)
class Flip:
    """One row on which the two scored differently."""

    row_id: str
    inputs: dict[str, str]
    expected: Any
    before: ExampleResult
    after: ExampleResult

    @property
    def change(self) -> float:
        """How much better (or, below 0, worse) the second version did."""
        return self.after.score - self.before.score


@dataclass(frozen=True, slots=True)
class LabelLine:
    """The rows of one expected label."""

    label: str
    rows: int
    before: float
    after: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything counted on the shared rows.

    Attributes:
        cost_ratio, latency_ratio: second / first; None where the first is 0 and the second is not.
        better, worse: rows that flipped, the widest change first.
        labels: by expected label, the largest change first; empty where the expected values are no labels.
    """

    paired: PairedComparison
    cost_ratio: float | None
    latency_ratio: float | None
    better: tuple[Flip, ...]
    worse: tuple[Flip, ...]
    labels: tuple[LabelLine, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two versions of one task.

    Attributes:
        before, after: as the reader named them; the change is from the first to the second.
        dataset, split: where both were evaluated; None where they share no evaluation.
        decision: the gate's about exactly these two on that dataset version, if there is one.
    """

    task: str
    before: Side
    after: Side
    dataset: DatasetVersion | None = None
    split: str | None = None
    figures: Figures | None = None
    decision: GateDecisionRecord | None = None
    notes: tuple[str, ...] = field(default=())


def count(before: Sequence[ExampleResult], after: Sequence[ExampleResult]) -> Figures:
    """The figures over the examples of both versions, paired by input.

    Raises:
        InputError: they are not of the same rows.
    """
    second = {example.input_id: example for example in after}
    if {example.input_id for example in before} != set(second):
        raise InputError("the two evaluations are not of the same rows", mend="evaluate both on one dataset version.")
    pairs = [(example, second[example.input_id]) for example in before]
    flips = [Flip(old.row_id, old.inputs, old.expected, old, new) for old, new in pairs if old.score != new.score]
    ordered = sorted(flips, key=lambda flip: (-abs(flip.change), flip.row_id))
    return Figures(
        paired=compare_paired([new.score for _, new in pairs], [old.score for old, _ in pairs]),
        cost_ratio=total_ratio([new.cost_nano_usd for _, new in pairs], [old.cost_nano_usd for old, _ in pairs]),
        latency_ratio=median_ratio([new.latency_s for _, new in pairs], [old.latency_s for old, _ in pairs]),
        better=tuple(flip for flip in ordered if flip.change > 0),
        worse=tuple(flip for flip in ordered if flip.change < 0),
        labels=_labels(pairs),
    )


def _labels(pairs: Sequence[tuple[ExampleResult, ExampleResult]]) -> tuple[LabelLine, ...]:
    groups: dict[str, list[tuple[float, float]]] = {}
    for old, new in pairs:
        if isinstance(old.expected, str):
            groups.setdefault(old.expected, []).append((old.score, new.score))
    if len(groups) * 2 > len(pairs):  # texts that are hardly ever the same are no labels
        return ()
    lines = [
        LabelLine(label, len(scores), _mean([old for old, _ in scores]), _mean([new for _, new in scores]))
        for label, scores in groups.items()
    ]
    return tuple(sorted(lines, key=lambda line: (-abs(line.after - line.before), line.label)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
