"""Two prompts on the same rows: the difference, its interval and whether it may be noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from domain.statistics.intervals import RESAMPLES, graded_interval
from domain.statistics.newcombe import newcombe_interval
from domain.statistics.samples import check_share, is_binary, refuse_unpaired, score_array
from domain.statistics.sign_flip import sign_flip_p_value
from domain.statistics.untyped import scipy_stats

if TYPE_CHECKING:
    from domain.statistics.samples import FloatArray


@dataclass(frozen=True, slots=True)
class PairedComparison:
    """Candidate against production, row by row.

    Attributes:
        n: rows.
        difference: candidate's mean − production's.
        low, high: two-sided interval of the difference.
        confidence: of that interval.
        p_value: one-sided, of "the candidate is better".
        p_value_two_sided: of "they differ".
        method: test and interval, such as `mcnemar_exact+newcombe`.
        wins, losses, ties: rows on which the candidate scored more, less, the same.
        discordant_rate: (wins + losses) / n where every score is 0 or 1, else None.
        difference_sd: standard deviation of the rows' differences; None below 2 rows.
    """

    n: int
    candidate_mean: float
    production_mean: float
    difference: float
    low: float
    high: float
    confidence: float
    p_value: float
    p_value_two_sided: float
    method: str
    wins: int
    losses: int
    ties: int
    discordant_rate: float | None
    difference_sd: float | None

    def as_dict(self) -> dict[str, Any]:
        """JSON values, by attribute."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Finding:
    low: float
    high: float
    better: float
    worse: float
    method: str


def compare_paired(
    candidate: Sequence[float],
    production: Sequence[float],
    confidence: float = 0.95,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> PairedComparison:
    """Compare scores (0 to 1) of the same rows, paired by position.

    Right/wrong scores: exact McNemar test, Newcombe's interval. Graded scores: permutation test over the signs of
    the differences with `resamples` patterns, and the interval `mean_interval` would take.

    Raises:
        InputError: no pair, unequal lengths, a score outside 0 to 1, or a `confidence` that is none.
    """
    ours, theirs = score_array(candidate, "candidate"), score_array(production, "production")
    refuse_unpaired(ours, theirs, "scores")
    check_share(confidence, "confidence")
    differences = ours - theirs
    binary = is_binary(ours, theirs)
    finding = _right_wrong(ours, theirs, confidence) if binary else _graded(differences, confidence, resamples, seed)
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    return PairedComparison(
        n=differences.size,
        candidate_mean=float(ours.mean()),
        production_mean=float(theirs.mean()),
        difference=float(differences.mean()),
        low=finding.low,
        high=finding.high,
        confidence=confidence,
        p_value=finding.better,
        p_value_two_sided=min(1.0, 2 * min(finding.better, finding.worse)),
        method=finding.method,
        wins=wins,
        losses=losses,
        ties=differences.size - wins - losses,
        discordant_rate=(wins + losses) / differences.size if binary else None,
        difference_sd=float(differences.std(ddof=1)) if differences.size > 1 else None,
    )


def mcnemar_p_value(wins: int, losses: int) -> float:
    """Exact one-sided p-value of "wins are likelier than losses"; 1 when there is neither."""
    if not wins + losses:
        return 1.0
    return float(scipy_stats().binomtest(wins, wins + losses, 0.5, alternative="greater").pvalue)


def _right_wrong(candidate: FloatArray, production: FloatArray, confidence: float) -> _Finding:
    both = int(((candidate == 1) & (production == 1)).sum())
    wins = int((candidate > production).sum())
    losses = int((candidate < production).sum())
    neither = candidate.size - both - wins - losses
    low, high = newcombe_interval(both, wins, losses, neither, confidence)
    return _Finding(low, high, mcnemar_p_value(wins, losses), mcnemar_p_value(losses, wins), "mcnemar_exact+newcombe")


def _graded(differences: FloatArray, confidence: float, resamples: int, seed: int) -> _Finding:
    interval = graded_interval(differences, -1.0, 1.0, confidence, seed)
    better = sign_flip_p_value(differences, resamples=resamples, seed=seed)
    worse = sign_flip_p_value(-differences, resamples=resamples, seed=seed)
    return _Finding(interval.low, interval.high, better, worse, f"permutation+{interval.method}")
