"""Bars go to the terminal itself, even while standard error leads to a file."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from contextlib import suppress

PROGRAM = """
import sys
from pathlib import Path
from orchestration.cli.progress_bars import progress_bars
from orchestration.quiet_streams import streams_to_file
from resources.observability.progress import board
with progress_bars(shown=sys.argv[2] == "shown"), streams_to_file(Path(sys.argv[1])):
    board.report("searching", 3, 12, "best 0.5")
    board.report("test", 1)
    sys.stderr.write("a library talks")
"""


def seen_on_terminal(log: str, how: str) -> str:
    main, side = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", PROGRAM, log, how], stdout=side, stderr=side, check=True)
        os.set_blocking(main, False)
        parts: list[bytes] = []
        with suppress(BlockingIOError):  # a read gives no more than a page; a slow machine draws more
            while part := os.read(main, 100_000):
                parts.append(part)
        return b"".join(parts).decode()
    finally:
        os.close(main)
        os.close(side)


def test_stages_are_shown_on_a_terminal_and_libraries_are_not(tmp_path):
    seen = seen_on_terminal(str(tmp_path / "log"), "shown")

    assert "searching" in seen
    assert "3/12" in seen
    assert "best 0.5" in seen
    assert "talks" not in seen


def test_nothing_is_shown_for_programs(tmp_path):
    assert seen_on_terminal(str(tmp_path / "log"), "hidden") == ""
