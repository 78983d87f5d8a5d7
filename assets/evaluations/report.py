"""The comparison page of an evaluation: candidate against production, below the storage root."""

from __future__ import annotations

from upath import UPath

from domain.dataset import DatasetVersion
from domain.identity import short_id
from resources.comparison.comparison import Comparison, Side, count
from resources.comparison.page import FOLDER, write_page
from resources.evaluation.decide import Contest
from resources.evaluation.promote import CANDIDATE, PRODUCTION


def write_report(contest: Contest, dataset: DatasetVersion, root: UPath) -> UPath | None:
    """Write the page, on test where the candidate was shown it, else on dev; None where there is no candidate.

    One page per decision: repeating an evaluation writes the same page again.

    Raises:
        OSError: the storage cannot be written.
    """
    winner = contest.winner
    if winner is None:
        return None
    seen = contest.test if winner.id in contest.test else contest.dev
    before, after = seen[contest.production.id], seen[winner.id]
    comparison = Comparison(
        task=contest.decision.task,
        before=Side(contest.production, (PRODUCTION,), before.record),
        after=Side(winner, (CANDIDATE,), after.record),
        dataset=dataset,
        split=before.record.split,
        figures=count(before.examples, after.examples),
        decision=contest.decision,
    )
    return write_page(comparison, root / FOLDER / f"{short_id(contest.decision.id)}.html")
