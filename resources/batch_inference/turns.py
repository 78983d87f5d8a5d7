"""How the threads of a worker's process take turns at Python."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

MOST_S = 0.001


class _Wishes:
    """Who wants short turns: the interval is the process's, and the last of them to end puts back what was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before_s = 0.0

    def begin(self) -> None:
        with self._lock:
            if not self._inside:
                self._before_s = sys.getswitchinterval()
                sys.setswitchinterval(min(self._before_s, MOST_S))
            self._inside += 1

    def end(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                sys.setswitchinterval(self._before_s)


_wishes = _Wishes()


@contextmanager
def short_turns() -> Iterator[None]:
    """Inside the block a thread that computes hands over after a millisecond, wherever in the process it runs.

    Answers and the ledger are written in threads beside the event loop. By default such a thread may keep the loop
    waiting for 5 ms each time, which a provider that answers hundreds of rows a second feels.
    """
    _wishes.begin()
    try:
        yield
    finally:
        _wishes.end()
