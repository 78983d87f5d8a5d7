"""The tables of an experiment's report: header and rows, as text."""

from __future__ import annotations

from math import isfinite
from typing import Any

from assets.presentation.tables import percent
from domain.experiment.report import ArmFigures, RatioFigures, Report
from domain.identity import short_id
from domain.pricing import nano_to_usd
from resources.experiments.reporting import LiveReport
from resources.experiments.seeing import Bookkeeping

NONE = "–"
Rows = tuple[list[str], list[list[Any]]]


def arm_rows(live: LiveReport) -> Rows:
    """One line per variant."""
    header = ["variant", "prompt version", "share", "exposed", "analysed", live.report.metric, "confidence sequence",
              "cost / 1000 answers", "mean latency"]  # fmt: skip
    shares = live.started.epochs[-1].allocation.shares()
    return header, [_arm(live, arm, shares[arm.variant]) for arm in live.report.arms]


def comparison_rows(report: Report) -> Rows:
    """One line per variant that is compared with the control."""
    header = ["variant", "gain", "confidence sequence", "always-valid p", "cost ratio", "latency ratio"]
    rows = [
        [
            one.variant,
            NONE if one.gain is None else points(one.gain),
            f"{points(one.low)} to {points(one.high)} ({one.confidence:.1%})",
            f"{one.p_value:.2g}",
            ratio(one.cost),
            ratio(one.latency),
        ]
        for one in report.comparisons
    ]
    return header, rows


def books_rows(books: Bookkeeping) -> Rows:
    """What became of answers and outcomes; what did not happen is left out."""
    told = {
        "answers recorded": books.answers,
        "units answered": books.units,
        "units whose window is open": books.waiting,
        "units without an outcome that counts": books.without_outcome,
        "units answered by several variants (their first counts)": books.crossed,
        "answers after the stop (not counted)": books.after_stop,
        "outcomes that count": books.counted,
        "outcomes before the first answer (not counted)": books.early,
        "outcomes after the window (not counted)": books.late,
        "outcomes of units without answer (not counted)": books.unknown,
    }
    return ["what", "how many"], [[what, f"{count:,}"] for what, count in told.items() if count]


def points(gain: float) -> str:
    """A difference of shares in percentage points: `+4.1 pts`."""
    return f"{100 * gain:+.1f}\N{NO-BREAK SPACE}pts"


def ratio(found: RatioFigures | None) -> str:
    """A ratio with its confidence sequence and limit."""
    if found is None or found.ratio is None:
        return NONE
    high = f"{found.high:.2f}" if isfinite(found.high) else "∞"
    limit = "" if found.limit is None else f", limit {found.limit:g}{' BROKEN' if found.broken else ''}"
    return f"{found.ratio:.2f} ({found.low:.2f} to {high}{limit})"


def _arm(live: LiveReport, arm: ArmFigures, share: float) -> list[Any]:
    held = NONE if arm.low is None or arm.high is None else f"{percent(arm.low)} to {percent(arm.high)}"
    cost = arm.mean_cost_nano_usd
    return [
        arm.variant,
        short_id(live.started.prompt_version_id(arm.variant)),
        percent(share),
        f"{arm.exposed:,}",
        f"{arm.analysed:,}",
        NONE if arm.mean is None else percent(arm.mean),
        held,
        NONE if cost is None else f"${nano_to_usd(round(1000 * cost)):.4f}",
        NONE if arm.mean_latency_s is None else f"{1000 * arm.mean_latency_s:.0f} ms",
    ]
