"""Progress of long work as bars on the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from resources.observability.progress import Progress as Report
from resources.observability.progress import board


@contextmanager
def progress_bars(*, shown: bool) -> Iterator[None]:
    """Show a bar per stage that is reported inside the block, where standard error is a terminal."""
    if not (shown and sys.stderr.isatty()):
        yield
        return
    # A descriptor of its own: while a run lasts, standard error leads to a file.
    with os.fdopen(os.dup(sys.stderr.fileno()), "w") as terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim"),
        )
        console = Console(file=terminal, force_terminal=True)
        # Without its redirection: what libraries write belongs into the run's log, not above the bars.
        progress = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)
        with progress as bars, board.listening(_Bars(bars).show):
            bars.add_task("starting", total=None, note="")
            yield


class _Bars:
    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._stages: dict[str, TaskID] = {}

    def show(self, report: Report) -> None:
        if not self._stages:
            for waiting in self._bars.task_ids:
                self._bars.remove_task(waiting)
        if report.stage not in self._stages:
            self._stages[report.stage] = self._bars.add_task(report.stage, total=report.total, note="")
        self._bars.update(self._stages[report.stage], completed=report.done, total=report.total, note=report.note)
