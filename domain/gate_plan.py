"""What the gate will be able to see, said before anything is paid for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import ceil, log
from typing import Any

from domain.gate import GateRule, alpha_per_route
from domain.statistics.power import minimum_detectable_effect

ASSUMED_DISCORDANT_RATE = 0.2


@dataclass(frozen=True, slots=True)
class Spread:
    """How far two prompts' scores lie apart row by row: one of the two figures, and where it is known from.

    Attributes:
        discordant_rate: share of rows on which right/wrong scores differ.
        sd: standard deviation of graded scores' differences.
    """

    discordant_rate: float | None
    sd: float | None
    source: str


ASSUMED = Spread(ASSUMED_DISCORDANT_RATE, None, "an assumption, since no two prompts have been compared on dev yet")


@dataclass(frozen=True, slots=True)
class GatePlan:
    """The next look at the test split.

    Attributes:
        alpha_per_route: what each open route may spend.
        detectable: smallest true gain found four times in five; None: none can be found.
        rows_for_margin: fewest rows, none of them lost, that show "not worse by the margin"; None without a margin.
    """

    rows: int
    look: int
    alpha_per_route: float
    detectable: float | None
    rows_for_margin: int | None
    spread: Spread
    sentences: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """JSON values, by attribute."""
        return asdict(self)


def plan_gate(rule: GateRule, rows: int, look: int, spread: Spread = ASSUMED) -> GatePlan:
    """What look number `look` (from 1) at a test split of `rows` rows can show under `rule`.

    Raises:
        InputError: `rows` or `look` is below 1, or `spread` does not give exactly one figure in its range.
    """
    alpha = alpha_per_route(rule, look)
    detectable = minimum_detectable_effect(rows, alpha=alpha, discordant_rate=spread.discordant_rate, sd=spread.sd)
    needed = None if rule.non_inferiority_margin is None else rows_for_margin(rule.non_inferiority_margin, alpha)
    sentences = (
        _gain_sentence(rows, look, alpha, detectable),
        _spread_sentence(spread),
        *_margin_sentences(rule, rows, needed),
    )
    return GatePlan(rows, look, alpha, detectable, needed, spread, sentences)


def rows_for_margin(margin: float, alpha: float) -> int:
    """Fewest rows on which no loss at all is proof of "not worse by `margin`" at `alpha`.

    With no row lost the p-value of `non_inferiority_p_value` is (1 − margin)^n, as Clopper–Pearson's.
    """
    return ceil(log(alpha) / log(1 - margin))


def _gain_sentence(rows: int, look: int, alpha: float, detectable: float | None) -> str:
    if detectable is None:
        return f"This test split of {rows} rows can show no gain at all at look {look} (α = {alpha:.4g})."
    return (
        f"This test split of {rows} rows can only see gains above {100 * detectable:.1f} points: at look {look} "
        f"(α = {alpha:.4g}) a smaller true gain is missed more than once in five."
    )


def _spread_sentence(spread: Spread) -> str:
    if spread.discordant_rate is not None:
        return (
            f"That takes the prompts to differ on {100 * spread.discordant_rate:.0f} % of the rows ({spread.source})."
        )
    return f"That takes the rows' differences to have a standard deviation of {spread.sd:.2f} ({spread.source})."


def _margin_sentences(rule: GateRule, rows: int, needed: int | None) -> tuple[str, ...]:
    if needed is None:
        return ()
    margin = f"'Not worse by {100 * (rule.non_inferiority_margin or 0):g} points' takes at least {needed} rows"
    if rows < needed:
        return (f"{margin}, even if none is lost; with these {rows} it cannot be shown.",)
    return (f"{margin} without a loss, more with some.",)
