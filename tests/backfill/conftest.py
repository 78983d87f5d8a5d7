"""A home with a few small tasks on the offline reader."""

from __future__ import annotations

from pathlib import Path

import pytest
from backfill.tasks import Tasks


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    made = Tasks(tmp_path)
    made.prepare(monkeypatch)
    return made
