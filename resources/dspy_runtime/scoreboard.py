"""What the candidates of a run scored on dev."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from domain.prompt import PromptVersion


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """A prompt version and its mean dev score, 0 to 1."""

    prompt: PromptVersion
    dev_score: float


class ScoreBoard:
    """Collects scores by candidate and row; a candidate counts once every dev row has scored it.

    Optimizers hold their candidates in local variables, which a halt unwinds. The board keeps them, and since rows
    are counted and not evaluations, a candidate judged on minibatches counts as soon as these cover all rows.
    """

    def __init__(self, rows: int, on_candidate: Callable[[], None]) -> None:
        self._rows = rows
        self._on_candidate = on_candidate
        self._scores: dict[str, dict[int, float]] = {}
        self._finished: list[ScoredCandidate] = []
        self._lock = threading.Lock()

    @property
    def candidates(self) -> tuple[ScoredCandidate, ...]:
        """Fully scored candidates, in the order in which they were finished."""
        with self._lock:
            return tuple(self._finished)

    @property
    def best(self) -> ScoredCandidate | None:
        """The highest mean; of equal ones the first, so that a change must earn its place."""
        return max(self.candidates, key=lambda candidate: candidate.dev_score, default=None)

    def record(self, prompt: PromptVersion, row: int, score: float) -> None:
        """Note the score of dev row number `row`; noting it again changes nothing."""
        with self._lock:
            scores = self._scores.setdefault(prompt.id, {})
            if row in scores:
                return
            scores[row] = score
            finished = len(scores) == self._rows
            if finished:
                self._finished.append(ScoredCandidate(prompt, math.fsum(scores.values()) / self._rows))
        if finished:
            self._on_candidate()
