"""How the threads of a worker's process take turns at Python."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

MOST_S = 0.001


@contextmanager
def short_turns() -> Iterator[None]:
    """Inside the block a thread that computes hands over after a millisecond, wherever in the process it runs.

    Answers and the ledger are written in threads beside the event loop. By default such a thread may keep the loop
    waiting for 5 ms each time, which a provider that answers hundreds of rows a second feels.
    """
    before = sys.getswitchinterval()
    sys.setswitchinterval(min(before, MOST_S))
    try:
        yield
    finally:
        sys.setswitchinterval(before)
