"""Scores, money and identities as people read them."""

from __future__ import annotations

from domain.identity import short_id
from domain.pricing import nano_to_usd
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.evaluation.problems import problem_counts


def percent(share: float) -> str:
    """`0.1234` as `12.3 %`."""
    return f"{100 * share:.1f} %"


def interval(low: float, high: float) -> str:
    """A 95 % interval of a share."""
    return f"{100 * low:.1f} – {100 * high:.1f} %"


def dollars(nano_usd: int) -> str:
    """USD: cents for whole cents and for a dollar or more, else six decimals."""
    amount = nano_to_usd(nano_usd)
    return f"${amount:,.2f}" if amount >= 1 or nano_usd % 10_000_000 == 0 else f"${amount:.6f}"


def usd(nano_usd: int) -> str:
    """Exact USD for JSON: a string, since floats cannot hold nano-USD."""
    return format(nano_to_usd(nano_usd), "f")


def score(record: EvaluationRecord | None) -> str:
    """Mean with interval, or a dash."""
    if record is None:
        return "–"
    return f"{percent(record.score)} ({interval(record.score_low, record.score_high)})"


def score_values(record: EvaluationRecord | None) -> dict[str, object] | None:
    """The same for JSON."""
    if record is None:
        return None
    return {
        "evaluation_id": record.id,
        "split": record.split,
        "metric": record.metric,
        "rows": record.rows,
        "score": record.score,
        "low": record.score_low,
        "high": record.score_high,
        "problems": problem_counts([record.summary]),
    }


def named(record: PromptVersionRecord) -> str:
    """`v3 (0123456789ab)`."""
    return f"v{record.version} ({short_id(record.id)})"
