"""A search while it runs: every answer for the terminal, a line now and then for the run's log."""

from __future__ import annotations

from collections.abc import Callable

from domain.pricing import nano_to_usd
from resources.dspy_runtime.progress import SearchState
from resources.observability.progress import board

LOG_EVERY_S = 15.0


class LiveView:
    """Logs each new best score, and otherwise at most one line in `LOG_EVERY_S` seconds: log lines are events.

    Args:
        log: takes one line.
        clock: seconds that only go forward.
    """

    def __init__(self, log: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._logged_at = clock()
        self._best: float | None = None

    def __call__(self, state: SearchState) -> None:
        """Show where the search stands."""
        note = _note(state)
        board.report("optimize", state.answers, None, note)
        now = self._clock()
        better = state.best is not None and (self._best is None or state.best > self._best)
        if better or now - self._logged_at >= LOG_EVERY_S:
            self._best, self._logged_at = state.best, now
            self._log(f"{state.answers:,} answers, {note}" + (" (new best)" if better else ""))


def _note(state: SearchState) -> str:
    best = "" if state.best is None else f", best {state.best:.1%} on dev"
    candidates = "1 candidate" if state.candidates == 1 else f"{state.candidates:,} candidates"
    return f"{candidates}{best}, {nano_to_usd(state.spent_nano_usd):.4f} USD"
