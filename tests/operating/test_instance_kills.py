"""Dagster's web server, daemon and runs are killed while they work; nothing is lost or repeated.

PROMPTORY_INSTANCE_KILLS scales it: 10 is full scale.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("PROMPTORY_INSTANCE_KILLS", "1"))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900 + 180 * KILLS)]


def test_nothing_is_lost_or_repeated_when_dagsters_processes_are_killed() -> None:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.instance_kills", "--kills", str(KILLS), "--json"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            told, progress = process.communicate()
        finally:
            process.terminate()  # it ends its servers, also where the test was cut short
    assert process.returncode == 0, told + progress[-4000:]
    figures = json.loads(told)
    assert figures["problems"] == []
    assert figures["kills"].keys() == {"web server", "daemon", "run worker"}
    for victim, works in figures["kills"].items():
        assert works.keys() == {"batch", "backfill", "provider batch"}
        assert min(works.values()) >= KILLS, victim
    assert figures["runs_killed"].keys() == {"batch", "backfill", "provider batch"}
    assert min(figures[name] for name in ("rows", "jobs", "partitions", "invoice_nano_usd")) > 0
