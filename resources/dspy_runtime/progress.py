"""How far a run is, for whoever watches."""

from __future__ import annotations

import threading
from collections.abc import Callable

from resources.dspy_runtime.scoreboard import ScoreBoard

# LM answers used so far (the journal's included), candidates fully scored, the best mean score (0 to 1) or None.
Progress = Callable[[int, int, float | None], None]


class ProgressReport:
    """Counts answers and passes on where the run stands; one caller at a time, after every answer."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._lock = threading.Lock()
        self._board: ScoreBoard | None = None
        self.calls = 0

    def watch(self, board: ScoreBoard) -> None:
        """Report this board's candidates."""
        self._board = board

    def answered(self) -> None:
        """One more answer."""
        with self._lock:
            self.calls += 1
            self._report()

    def candidate_finished(self) -> None:
        """One more candidate has all its scores."""
        with self._lock:
            self._report()

    def _report(self) -> None:
        if self._progress is None or self._board is None:
            return
        best = self._board.best
        self._progress(self.calls, len(self._board.candidates), best.dev_score if best else None)
