"""Short turns are the whole process's, which may have several workers, one beginning before the other ends."""

from __future__ import annotations

import sys

from resources.batch_inference.turns import MOST_S, short_turns


def test_turns_are_short_until_the_last_worker_has_ended_and_then_as_before() -> None:
    before = sys.getswitchinterval()
    first, second = short_turns(), short_turns()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    during = sys.getswitchinterval()
    second.__exit__(None, None, None)
    after = sys.getswitchinterval()
    sys.setswitchinterval(before)
    assert abs(during - MOST_S) < 1e-6
    assert abs(after - before) < 1e-6
