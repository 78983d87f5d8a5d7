"""Which rows of two arms the gate may compare: those that have a score in both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.errors import InputError
from domain.gate import ArmResults, GateRule
from domain.statistics.samples import PAIRS_MEND


@dataclass(frozen=True, slots=True)
class EvaluatedArm:
    """One arm as evaluated; position i of every sequence, in both arms, is the same row.

    Attributes:
        scores: 0 to 1; None where an evaluator or a judge failed.
        costs: nano-USD per row.
        latencies: seconds per row.
    """

    scores: Sequence[float | None]
    costs: Sequence[int]
    latencies: Sequence[float]


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """Both arms without the rows that lack a score in either; how many of how many rows these were."""

    candidate: ArmResults
    production: ArmResults
    rows: int
    unscored: int

    def refusal(self, rule: GateRule) -> str | None:
        """Why so many rows without a score forbid a promotion; None where they do not.

        Leaving rows out is fair only while it cannot decide: a share m of them can hide a loss of m.
        """
        if self.unscored == 0 or self.unscored <= rule.max_unscored * self.rows:
            return None
        return (
            f"{self.unscored} of {self.rows} rows have no score in one arm or both, because an evaluator or a judge "
            f"failed on them; with more than {rule.max_unscored:.1%} nothing is promoted. Mend the evaluator and "
            "evaluate again; no answer is paid for again."
        )


def scored_pairs(candidate: EvaluatedArm, production: EvaluatedArm) -> ScoredPairs:
    """The rows of `candidate` and `production` that have a score in both.

    Raises:
        InputError: the arms have not the same number of rows.
    """
    if len(candidate.scores) != len(production.scores):
        raise InputError(
            f"the candidate has {len(candidate.scores)} rows and production {len(production.scores)}",
            field="scores",
            mend=PAIRS_MEND,
        )
    both = zip(candidate.scores, production.scores, strict=True)
    kept = [number for number, (ours, theirs) in enumerate(both) if ours is not None and theirs is not None]
    rows = len(candidate.scores)
    return ScoredPairs(_only(candidate, kept), _only(production, kept), rows, rows - len(kept))


def _only(arm: EvaluatedArm, kept: Sequence[int]) -> ArmResults:
    scores = [arm.scores[number] for number in kept]
    return ArmResults(
        scores=tuple(score for score in scores if score is not None),
        costs=tuple(arm.costs[number] for number in kept),
        latencies=tuple(arm.latencies[number] for number in kept),
    )
