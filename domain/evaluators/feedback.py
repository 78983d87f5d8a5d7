"""What an evaluator's score says in words, for a model that is to write better instructions."""

from __future__ import annotations

from domain.evaluators.score import Score

LONGEST_PART = 2_000


def feedback(score: Score, *, expected: str, given: str) -> str:
    """The score, both answers and the evaluator's reason. It gives the expected answer away: for train rows only.

    Args:
        expected: what a perfect model would have answered.
        given: the answer, verbatim.
    """
    return "\n".join(
        (
            f"Score: {score.value:g} (from 0, wrong, to 1, right).",
            f"Given: {_cut(given)}",
            f"Expected: {_cut(expected)}",
            f"Why: {_cut(score.reason)}.",
        )
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_PART else f"{text[:LONGEST_PART]}…"
