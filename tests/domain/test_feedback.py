from __future__ import annotations

from domain.evaluators.feedback import LONGEST_PART, feedback
from domain.evaluators.score import Score


def test_it_names_both_answers_and_the_reason() -> None:
    said = feedback(Score(0.25, "1 of 4 fields is right"), expected='{"a":1}', given="{}")
    assert said.splitlines() == [
        "Score: 0.25 (from 0, wrong, to 1, right).",
        "Given: {}",
        'Expected: {"a":1}',
        "Why: 1 of 4 fields is right.",
    ]


def test_long_answers_are_cut() -> None:
    said = feedback(Score(0.0, "too long"), expected="x", given="y" * 10_000)
    assert len(said) < LONGEST_PART + 200
    assert "yyy…" in said
