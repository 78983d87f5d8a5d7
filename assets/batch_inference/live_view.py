"""Batches while they run: every second for the terminal, a line now and then for the run's log."""

from collections.abc import Callable

from domain.identity import short_id
from resources.batch_inference.progress import BatchProgress
from resources.observability.progress import board

FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 600.0


class BatchLog:
    """Shows progress; logs it at growing intervals, because log lines are events and a run may last for days.

    Args:
        log: takes one line.
        clock: seconds that only go forward.
    """

    def __init__(self, log: Callable[[str], None], clock: Callable[[], float]) -> None:
        self._log = log
        self._clock = clock
        self._pause_s = FIRST_PAUSE_S
        self._next = clock() + FIRST_PAUSE_S

    def __call__(self, progress: BatchProgress) -> None:
        """Show where the batch stands."""
        board.report(f"batch {short_id(progress.batch_id)}", progress.finished, progress.rows, progress.sentence())
        now = self._clock()
        if now < self._next:
            return
        self._pause_s = min(1.25 * self._pause_s, LONGEST_PAUSE_S)
        self._next = now + self._pause_s
        name = short_id(progress.batch_id)
        self._log(f"batch {name}: {progress.finished:,} of {progress.rows:,} rows, {progress.sentence()}")
