"""Rows done, for the terminal each time, and now and then as a line in a run's log."""

from __future__ import annotations

from collections.abc import Callable

from resources.observability.progress import board

LOG_EVERY_S = 15.0


class RowsLog:
    """Logs at most one line in `LOG_EVERY_S` seconds: log lines are events.

    Args:
        log: takes one line.
        clock: seconds that only go forward.
    """

    def __init__(self, log: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._logged_at = clock()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show how far `stage` is."""
        board.report(stage, done, total)
        now = self._clock()
        if now - self._logged_at >= LOG_EVERY_S:
            self._logged_at = now
            self._log(f"{stage}: {done:,} of {total:,} rows")
