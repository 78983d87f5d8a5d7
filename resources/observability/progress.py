"""Progress of long work: whoever does it reports, whoever wants to see it listens. Nobody has to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Progress:
    """One stage of work. `total` is None where the end cannot be known; `note` is for people."""

    stage: str
    done: int
    total: int | None = None
    note: str = ""


Listener = Callable[[Progress], None]


@dataclass(slots=True)
class ProgressBoard:
    """Hands each report to all listeners of this process, on the reporter's thread."""

    _listeners: list[Listener] = field(default_factory=list)

    def report(self, stage: str, done: int, total: int | None = None, note: str = "") -> None:
        """Tell the listeners how far `stage` is."""
        if self._listeners:
            progress = Progress(stage, done, total, note)
            for listener in tuple(self._listeners):
                listener(progress)

    @contextmanager
    def listening(self, listener: Listener) -> Iterator[None]:
        """Hand reports to `listener` inside the block."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)


board = ProgressBoard()
