"""How many calls an optimizer makes, from its specification and the number of rows: DSPy's own arithmetic.

Two figures each. *Expected* assumes that every second answer to a train row is right (so that a set of n demonstrations
takes 2 n of them), that a third of GEPA's rewritten instructions are worth a full scoring, and that the writing model
keeps to its format. *At most* assumes nothing: no row is ever answered right, every proposal is asked for twice.
What is asked twice in the same words is paid once, so a real run stays below.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from domain.optimization import (
    BootstrapFewShotSpec,
    ChainSpec,
    CoproSpec,
    GepaSpec,
    LabeledFewShotSpec,
    MiproV2Spec,
    OptimizerSpec,
    RandomSearchSpec,
    SimbaSpec,
    gepa_rows,
    scored_rows,
    simba_depths,
    stages_of,
)

_ROWS_PER_SUCCESS = 2
_TRIES_PER_PROPOSAL = 2
_GEPA_ACCEPTED = 1 / 3
_GEPA_MERGE_ROWS = 5
_MIPRO_SETS = {"light": 6, "medium": 12, "heavy": 18}
_MIPRO_ROWS_WITHOUT_MINIBATCH = 50
_MIPRO_MINIBATCH = 35
_MIPRO_SUMMARY_CALLS = 11
_MIPRO_ROWS_PER_SUMMARY = 10


@dataclass(frozen=True, slots=True)
class Range:
    """A figure as expected, and what it cannot exceed."""

    expected: int = 0
    at_most: int = 0

    def __add__(self, other: Range) -> Range:
        return Range(self.expected + other.expected, self.at_most + other.at_most)

    def __mul__(self, factor: int) -> Range:
        return Range(self.expected * factor, self.at_most * factor)


@dataclass(frozen=True, slots=True)
class StageCalls:
    """What one optimizer asks for.

    Attributes:
        task: calls of the prompt's own steps, dev scoring included.
        proposals: calls of the model that writes instructions.
        demonstrations: the most a step may come to hold.
        texts_learned: written texts that a step's instructions may come to hold.
        rows_shown: train rows in one proposal's request.
        texts_shown: written texts, earlier ones, in one proposal's request.
    """

    kind: str
    task: Range
    proposals: Range = Range()
    demonstrations: int = 0
    texts_learned: int = 0
    rows_shown: int = 0
    texts_shown: int = 0


@dataclass(frozen=True, slots=True)
class _Size:
    train: int
    dev: int
    steps: int

    def bootstrapped(self, wanted: int, rounds: int = 1) -> Range:
        """Train rows answered to find `wanted` right ones."""
        return Range(min(self.train, _ROWS_PER_SUCCESS * wanted), self.train * rounds if wanted else 0)


def planned_stages(optimizer: OptimizerSpec, train_rows: int, dev_rows: int, steps: int = 1) -> tuple[StageCalls, ...]:
    """The calls of each optimizer of a run, in order.

    Args:
        steps: of the prompt; a row takes one call per step.
    """
    size = _Size(train_rows, scored_rows(optimizer, dev_rows), steps)
    planned = tuple(_PLANS[stage.kind](stage, size) for stage in stages_of(optimizer))
    if not isinstance(optimizer, ChainSpec):
        return planned
    # A chain scores the prompt it starts from and what each stage chose, also where the stage does not.
    scorings = 2 * size.dev * steps
    return tuple(replace(stage, task=stage.task + Range(0, scorings)) for stage in _scored_labels(planned, scorings))


def planned_calls(optimizer: OptimizerSpec, train_rows: int, dev_rows: int, steps: int = 1) -> int:
    """At most how many LM calls a run makes, dev scoring included."""
    stages = planned_stages(optimizer, train_rows, dev_rows, steps)
    return sum(stage.task.at_most + stage.proposals.at_most for stage in stages)


def _scored_labels(stages: tuple[StageCalls, ...], scorings: int) -> tuple[StageCalls, ...]:
    """In a chain labelled demonstrations are scored, too."""
    return tuple(
        replace(stage, task=Range(scorings)) if stage.kind == "labeled_few_shot" else stage for stage in stages
    )


def _labeled(spec: LabeledFewShotSpec, size: _Size) -> StageCalls:
    return StageCalls(spec.kind, Range(), demonstrations=min(spec.demonstrations, size.train))


def _bootstrap(spec: BootstrapFewShotSpec, size: _Size) -> StageCalls:
    rows = Range(2 * size.dev, 2 * size.dev) + size.bootstrapped(spec.max_bootstrapped, spec.max_rounds)
    most = max(spec.max_labeled, spec.max_bootstrapped)
    return StageCalls(spec.kind, rows * size.steps, demonstrations=min(most, size.train))


def _random_search(spec: RandomSearchSpec, size: _Size) -> StageCalls:
    """On dev: the prompt, its plain, labelled and bootstrapped variants, and each drawn set."""
    bootstraps = spec.candidates + 1 if spec.max_bootstrapped else 0
    scored = Range((spec.candidates + 3) * size.dev, (spec.candidates + 4) * size.dev)
    rows = scored + size.bootstrapped(spec.max_bootstrapped) * bootstraps
    most = max(spec.max_labeled, spec.max_bootstrapped)
    return StageCalls(spec.kind, rows * size.steps, demonstrations=min(most, size.train))


def _copro(spec: CoproSpec, size: _Size) -> StageCalls:
    """With several steps, every round scores the instructions of all rounds again beside the new other steps."""
    rounds = spec.depth if size.steps == 1 else spec.depth * (spec.depth + 1) // 2
    scorings = spec.breadth * rounds * size.steps
    written = size.steps * (spec.breadth * spec.depth - 1)
    return StageCalls(
        spec.kind,
        Range(scorings * size.dev, (1 + scorings) * size.dev) * size.steps,
        Range(written, written * _TRIES_PER_PROPOSAL),
        texts_learned=1,
        texts_shown=spec.breadth,
    )


def _mipro(spec: MiproV2Spec, size: _Size) -> StageCalls:
    """Sets of demonstrations, instructions and trials all follow from one number."""
    sets = _MIPRO_SETS[spec.auto]
    zero_shot = spec.max_bootstrapped == 0
    instructions = sets if zero_shot else sets // 2
    variables = size.steps * (1 if zero_shot else 2)
    trials = int(max(2 * variables * math.log2(sets), 1.5 * sets))
    if size.dev <= _MIPRO_ROWS_WITHOUT_MINIBATCH:
        rows = (1 + trials) * size.dev
    else:
        rows = (1 + trials // 5 + 2) * size.dev + trials * _MIPRO_MINIBATCH
    # Even without demonstrations DSPy bootstraps some, to show them to the writer.
    bootstrapped = Range(size.bootstrapped(max(spec.max_bootstrapped, 3)).expected, size.train) * (sets - 1)
    written = _MIPRO_SUMMARY_CALLS + 3 * instructions * size.steps
    return StageCalls(
        spec.kind,
        (Range(rows, rows) + bootstrapped) * size.steps,
        Range(written, written * _TRIES_PER_PROPOSAL),
        demonstrations=min(max(spec.max_labeled, spec.max_bootstrapped), size.train),
        texts_learned=1,
        rows_shown=_MIPRO_ROWS_PER_SUMMARY,
        texts_shown=_MIPRO_SUMMARY_CALLS,
    )


def _simba(spec: SimbaSpec, size: _Size) -> StageCalls:
    """Per step: sampled answers, then the candidates, both on a batch; the winners of all steps on all train rows."""
    train = min(spec.train_rows, size.train)
    batch = min(spec.batch_rows, train)
    on_train = spec.steps * batch * (2 * spec.candidates + 1) + (spec.steps + 1) * train
    rows = on_train + (1 + len(simba_depths(spec.steps))) * size.dev
    rules = spec.steps * (spec.candidates + 1)
    # A rule that keeps to no format is tried on the next row of the batch.
    most_rules = spec.steps * batch * _TRIES_PER_PROPOSAL
    return StageCalls(
        spec.kind,
        Range(rows, rows) * size.steps,
        Range(min(most_rules, rules // 2 if spec.max_demonstrations else rules), most_rules),
        demonstrations=spec.max_demonstrations + spec.steps,
        texts_learned=spec.steps,
        rows_shown=2,
        texts_shown=spec.steps * size.steps,
    )


def _gepa(spec: GepaSpec, size: _Size) -> StageCalls:
    """It looks at its allowance before an iteration and not within: the last one may answer some rows more."""
    rows = gepa_rows(spec, size.dev, size.steps)
    beyond = max(2 * spec.minibatch_rows, _GEPA_MERGE_ROWS) + size.dev
    searching = max(0, rows - size.dev)
    iteration = 2 * spec.minibatch_rows + _GEPA_ACCEPTED * size.dev
    return StageCalls(
        spec.kind,
        Range(rows, rows + beyond) * size.steps,
        Range(math.ceil(searching / iteration), (searching // spec.minibatch_rows + 1) * _TRIES_PER_PROPOSAL),
        texts_learned=1,
        rows_shown=spec.minibatch_rows,
        texts_shown=1,
    )


_PLANS: dict[str, Callable[[Any, _Size], StageCalls]] = {
    "labeled_few_shot": _labeled,
    "bootstrap_few_shot": _bootstrap,
    "bootstrap_random_search": _random_search,
    "copro": _copro,
    "mipro_v2": _mipro,
    "simba": _simba,
    "gepa": _gepa,
}
