"""Whether units fell to the variants as they were to: if they did not, something is broken and no result counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

from domain.errors import InputError
from domain.statistics.evidence import p_value
from domain.statistics.untyped import scipy_special, scipy_stats

ALARM = 0.001
"""A false alarm at any of all looks together is rarer than this."""

_LEAST_EXPECTED = 5


@dataclass(frozen=True, slots=True)
class Stratum:
    """Units per variant while one set of shares (which add up to 1) was in force."""

    counts: tuple[int, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SampleRatio:
    """Counts against what was to be expected.

    Attributes:
        counts, expected: units per variant, over all strata.
        p_value: of this look alone; None where there are too few units for the test.
        always_valid_p_value: of all looks so far; the verdict goes by it.
        method: `binomial` (exact: two variants, shares never changed) or `chi_square`.
        matches: the counts may well be what the shares gave.
    """

    counts: tuple[int, ...]
    expected: tuple[float, ...]
    p_value: float | None
    always_valid_p_value: float
    method: str
    matches: bool

    @property
    def sentence(self) -> str:
        """The verdict, for people."""
        seen = " : ".join(f"{count:,}" for count in self.counts)
        wanted = " : ".join(f"{count:,.1f}" for count in self.expected)
        shown = "too few units for a test of one look" if self.p_value is None else f"p = {self.p_value:.2g}"
        if self.matches:
            return f"Units per variant are {seen}, expected {wanted} ({self.method}: {shown})."
        return (
            f"Units per variant are {seen}, but expected {wanted} (always-valid p = {self.always_valid_p_value:.2g}): "
            "assignment or recording is broken, and the results cannot be trusted."
        )


def check_sample_ratio(strata: Sequence[Stratum], alarm: float = ALARM) -> SampleRatio:
    """Compare the units per variant with their shares.

    The figure for one look is SciPy's exact binomial test, or its chi-square distribution above two variants or
    after a change of shares. But reports are made again and again, so the verdict goes by the Dirichlet mixture of
    M. Lindon and A. Malek, "Anytime-valid inference for multinomial count data" (2022): under the right shares it
    ever falls to `alarm` with probability ≤ `alarm`.

    Raises:
        InputError: no stratum, a negative count, or not one positive share per count.
    """
    for one in strata:
        if len(one.counts) != len(one.shares) or len(one.counts) < 2 or min(one.counts) < 0 or min(one.shares) <= 0:
            raise InputError("every variant needs a count and a positive share", field="shares", mend="correct them.")
    if not strata:
        raise InputError("there are no units to count", field="strata", mend="give at least one set of counts.")
    counts = tuple(sum(column) for column in zip(*(one.counts for one in strata), strict=True))
    expected = tuple(sum(column) for column in zip(*map(_expected, strata), strict=True))
    always = p_value(sum(_log_bayes_factor(one) for one in strata))
    exact = len(counts) == 2 and len(strata) == 1
    single = _binomial(strata[0]) if exact else _chi_square(strata)
    return SampleRatio(counts, expected, single, always, "binomial" if exact else "chi_square", always > alarm)


def _expected(one: Stratum) -> tuple[float, ...]:
    return tuple(sum(one.counts) * share for share in one.shares)


def _binomial(one: Stratum) -> float | None:
    if not sum(one.counts):
        return None
    return float(scipy_stats().binomtest(one.counts[0], sum(one.counts), one.shares[0]).pvalue)


def _chi_square(strata: Sequence[Stratum]) -> float | None:
    usable = [one for one in strata if min(_expected(one)) >= _LEAST_EXPECTED]
    if not usable:
        return None
    pairs = [pair for one in usable for pair in zip(one.counts, _expected(one), strict=True)]
    distance = sum((count - wanted) ** 2 / wanted for count, wanted in pairs)
    return float(scipy_stats().chi2.sf(distance, sum(len(one.counts) - 1 for one in usable)))


def _log_bayes_factor(one: Stratum) -> float:
    """Other shares (a Dirichlet prior around these, worth one unit per variant) against these."""
    gammaln = scipy_special().gammaln
    priors = [len(one.shares) * share for share in one.shares]
    found = float(gammaln(sum(priors)) - gammaln(sum(priors) + sum(one.counts)))
    for count, prior, share in zip(one.counts, priors, one.shares, strict=True):
        found += float(gammaln(prior + count) - gammaln(prior)) - count * log(share)
    return found
