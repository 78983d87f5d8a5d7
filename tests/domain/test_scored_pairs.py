"""Rows without a score never reach the gate's statistics, and too many of them let nothing pass."""

from __future__ import annotations

import pytest

from domain.errors import InputError
from domain.evaluators.row_score import RowScore, ScoreStatus
from domain.evaluators.score import Score
from domain.gate import GateRule
from domain.scored_pairs import EvaluatedArm, scored_pairs


def arm(*scores: float | None) -> EvaluatedArm:
    numbers = range(len(scores))
    return EvaluatedArm(scores, [10 + number for number in numbers], [0.5 + number for number in numbers])


def test_a_pair_needs_both_scores() -> None:
    pairs = scored_pairs(arm(1, None, 0, 0.5), arm(0, 1, None, 0.25))
    assert (pairs.candidate.scores, pairs.production.scores) == ((1, 0.5), (0, 0.25))
    assert pairs.candidate.costs == pairs.production.costs == (10, 13)
    assert pairs.candidate.latencies == (0.5, 3.5)
    assert (pairs.rows, pairs.unscored) == (4, 2)


@pytest.mark.parametrize(
    ("missing", "share", "refused"), [(0, 0.0, False), (1, 0.0, True), (2, 0.02, False), (3, 0.02, True)]
)
def test_more_than_the_stated_share_of_unscored_rows_is_refused(missing: int, share: float, refused: bool) -> None:
    scores = [None] * missing + [1.0] * (100 - missing)
    pairs = scored_pairs(arm(*scores), arm(*[0.0] * 100))
    refusal = pairs.refusal(GateRule(max_unscored=share))
    assert (refusal is not None) is refused
    if refusal:
        assert refusal.startswith(f"{missing} of 100 rows have no score")


def test_arms_of_unequal_length_cannot_be_paired() -> None:
    with pytest.raises(InputError, match="2 rows and production 1"):
        scored_pairs(arm(1, 1), arm(1))


def test_an_unreadable_answer_has_a_score_and_a_failed_evaluator_has_none() -> None:
    unreadable = RowScore.of(Score(0.0, "no label", parsed=False))
    assert (unreadable.value, unreadable.status, unreadable.problem) == (0.0, ScoreStatus.UNPARSABLE, "no label")
    assert RowScore.of(Score(0.0, "wrong")).problem is None
    ordered = sorted(ScoreStatus, key=lambda status: status.gravity)
    assert [str(status) for status in ordered] == ["ok", "unparsable", "evaluator_error", "judge_error"]
