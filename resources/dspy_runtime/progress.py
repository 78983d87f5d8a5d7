"""How far a run is, for whoever watches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from resources.dspy_runtime.calls import TaskCall
from resources.dspy_runtime.journal import Answer
from resources.dspy_runtime.scoreboard import ScoreBoard


@dataclass(frozen=True, slots=True)
class SearchState:
    """Where a run stands.

    Attributes:
        answers: LM answers used so far, the journal's included.
        candidates: prompt versions that have all their dev scores.
        best: the best mean score, 0 to 1; None before the first.
        spent_nano_usd: what the run's budget scope was charged, by earlier processes of this run too.
    """

    answers: int
    candidates: int
    best: float | None
    spent_nano_usd: int


Progress = Callable[[SearchState], None]


class ProgressReport:
    """Counts answers and passes on where the run stands; one caller at a time, after every answer."""

    def __init__(self, progress: Progress | None, spent_before_nano_usd: int) -> None:
        self._progress = progress
        self._spent = spent_before_nano_usd
        self._lock = threading.Lock()
        self._board: ScoreBoard | None = None
        self.calls = 0

    def watch(self, board: ScoreBoard) -> None:
        """Report this board's candidates."""
        self._board = board

    def answered(self, answer: Answer, task: TaskCall | None) -> None:
        """One more answer, of the journal or of the core."""
        if self._board is not None and task is not None and task.purpose == "optimize":
            self._board.charge(task.prompt.id, task.row_id, task.step, answer["cost_nano_usd"])
        with self._lock:
            self.calls += 1
            self._report()

    def paid(self, nano_usd: int) -> None:
        """A call was charged."""
        with self._lock:
            self._spent += nano_usd

    def candidate_finished(self) -> None:
        """One more candidate has all its scores."""
        with self._lock:
            self._report()

    def _report(self) -> None:
        if self._progress is None or self._board is None:
            return
        best = self._board.best
        score = best.dev_score if best else None
        self._progress(SearchState(self.calls, len(self._board.candidates), score, self._spent))
