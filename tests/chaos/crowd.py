"""Several processes of `chaos_worker`, begun together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaos.chaos_worker import Plan

WORKER = Path(__file__).with_name("chaos_worker.py")
ROOT = WORKER.parents[2]
PRICE = {"input_per_million": "0.15", "output_per_million": "0.60"}


def shared_settings(folder: Path, base_url: str, **changes: Any) -> dict[str, Any]:
    """Settings of processes that share a state file in `folder`."""
    return {
        "state": f"sqlite:///{folder / 'state.db'}",
        "ledger": f"sqlite:///{folder / 'ledger.db'}",
        "endpoints": {"openai": {"base_url": base_url, "api_key": "key", "max_connections": 1000}},
        "prices": {"openai/m": PRICE},
        "lease_s": 3,
        **changes,
    }


class Crowd:
    """The processes. Those that were killed are left out of what is counted."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self.processes = processes

    def begin(self) -> None:
        """Let all begin at once; returns when they are ready and told."""
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "ready"
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()

    def kill(self, pid: int) -> None:
        """SIGKILL one of them."""
        (victim,) = [process for process in self.processes if process.pid == pid]
        victim.kill()
        victim.wait()

    def ends(self) -> Counter[str]:
        """Wait for all; how many calls of the living ended in which way."""
        total: Counter[str] = Counter()
        for process in self.processes:
            told, _ = process.communicate(timeout=100)
            if process.returncode != -9:
                assert process.returncode == 0
                total.update(json.loads(told))
        return total


@contextmanager
def crowd(count: int, plan: Plan) -> Iterator[Crowd]:
    """`count` processes with the same plan; none outlives the block."""
    command = [sys.executable, str(WORKER), json.dumps(asdict(plan))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        yield Crowd(processes)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
