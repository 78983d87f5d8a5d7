"""What the candidates of a run scored on dev, and what their answers there cost."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass

from domain.prompt import PromptVersion


@dataclass(frozen=True, slots=True)
class ScoredCandidate:
    """A prompt version and its dev scores, 0 to 1, in the order of the rows; `dev_score` is their mean."""

    prompt: PromptVersion
    dev_score: float
    scores: tuple[float, ...]


class ScoreBoard:
    """Collects scores by candidate and row; a candidate counts once every dev row has scored it.

    Optimizers hold their candidates in local variables, which a halt unwinds. The board keeps them, and since rows
    are counted and not evaluations, a candidate judged on minibatches counts as soon as these cover all rows.
    """

    def __init__(self, row_ids: Collection[str], on_candidate: Callable[[], None]) -> None:
        self._row_ids = frozenset(row_ids)
        self._rows = len(row_ids)
        self._on_candidate = on_candidate
        self._scores: dict[str, dict[int, float]] = {}
        self._costs: dict[str, dict[tuple[str, str], int]] = {}
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
                ordered = tuple(scores[number] for number in range(self._rows))
                self._finished.append(ScoredCandidate(prompt, math.fsum(ordered) / self._rows, ordered))
        if finished:
            self._on_candidate()

    def charge(self, prompt_version_id: str, row_id: str | None, step: str, cost_nano_usd: int) -> None:
        """Note what an answer to a dev row cost when it was made; other rows and repetitions do not count."""
        if row_id in self._row_ids:
            with self._lock:
                self._costs.setdefault(prompt_version_id, {})[row_id or "", step] = cost_nano_usd

    def cost_nano_usd(self, prompt_version_id: str) -> int:
        """What this candidate's answers to the dev rows cost, whoever paid for them."""
        with self._lock:
            return sum(self._costs.get(prompt_version_id, {}).values())
