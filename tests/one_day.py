"""Tests that ask for "today" after they have worked for a while."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

LONGEST_S = 80.0
DAY_S = 86_400.0


@pytest.fixture
def one_day() -> None:
    """Begin after midnight UTC where a test could begin before it and end after it."""
    now = datetime.now(UTC)
    left = DAY_S - (now.hour * 3600 + now.minute * 60 + now.second)
    if left < LONGEST_S:
        time.sleep(left + 1)
