"""What there is to say about two prompt versions that were evaluated on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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
    """One row on which the two scored differently; `change` is how much better (or, below 0, worse) the second did."""

    row_id: str
    inputs: dict[str, str]
    expected: Any
    before: ExampleResult
    after: ExampleResult
    change: float


@dataclass(frozen=True, slots=True)
class _Pair:
    """A row that both versions have a score on."""

    before: ExampleResult
    after: ExampleResult
    before_score: float
    after_score: float

    @property
    def change(self) -> float:
        return self.after_score - self.before_score

    def flip(self) -> Flip:
        old = self.before
        return Flip(old.row_id, old.inputs, old.expected, old, self.after, self.change)


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
    """The figures over the examples of both versions, paired by input; rows without a score in either are left out.

    Raises:
        InputError: they are not of the same rows, or no row has a score in both.
    """
    second = {example.input_id: example for example in after}
    if {example.input_id for example in before} != set(second):
        raise InputError("the two evaluations are not of the same rows", mend="evaluate both on one dataset version.")
    pairs = list(_scored(before, second))
    if not pairs:
        raise InputError("no row has a score in both evaluations", mend="mend the evaluator and evaluate again.")
    flips = [pair.flip() for pair in pairs if pair.change]
    ordered = sorted(flips, key=lambda flip: (-abs(flip.change), flip.row_id))
    old, new = [pair.before for pair in pairs], [pair.after for pair in pairs]
    return Figures(
        paired=compare_paired([pair.after_score for pair in pairs], [pair.before_score for pair in pairs]),
        cost_ratio=total_ratio([one.cost_nano_usd for one in new], [one.cost_nano_usd for one in old]),
        latency_ratio=median_ratio([one.latency_s for one in new], [one.latency_s for one in old]),
        better=tuple(flip for flip in ordered if flip.change > 0),
        worse=tuple(flip for flip in ordered if flip.change < 0),
        labels=_labels(pairs),
    )


def _scored(before: Sequence[ExampleResult], after: Mapping[str, ExampleResult]) -> Iterator[_Pair]:
    for old in before:
        new = after[old.input_id]
        if old.score is not None and new.score is not None:
            yield _Pair(old, new, old.score, new.score)


def _labels(pairs: Sequence[_Pair]) -> tuple[LabelLine, ...]:
    groups: dict[str, list[tuple[float, float]]] = {}
    for pair in pairs:
        if isinstance(pair.before.expected, str):
            groups.setdefault(pair.before.expected, []).append((pair.before_score, pair.after_score))
    if len(groups) * 2 > len(pairs):  # texts that are hardly ever the same are no labels
        return ()
    lines = [
        LabelLine(label, len(scores), _mean([old for old, _ in scores]), _mean([new for _, new in scores]))
        for label, scores in groups.items()
    ]
    return tuple(sorted(lines, key=lambda line: (-abs(line.after - line.before), line.label)))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
