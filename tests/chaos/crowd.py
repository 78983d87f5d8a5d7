"""Several processes of `chaos_worker`, begun together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.chaos_worker import Plan, Told

from benchmarks.machines import on_machine
from benchmarks.meter import PRICE
from benchmarks.stores import RedisStore, Store

WORKER = Path(__file__).with_name("chaos_worker.py")
ROOT = WORKER.parents[2]
# Nothing here is a matter of speed: on a machine that is busy with something else it only takes longer.
PATIENCE_S = 200.0


def shared_settings(folder: Path, state: str, base_url: str, **changes: Any) -> dict[str, Any]:
    """Settings of processes that share `state`, and a ledger in `folder`.

    Leases and deadlines are so long that no process that is merely kept waiting for a core passes for dead or late.
    """
    return {
        "state": state,
        "ledger": f"sqlite:///{ledger_path(folder)}",
        "endpoints": {"openai": {"base_url": base_url, "api_key": "key", "max_connections": 1000}},
        "prices": {"openai/m": PRICE},
        "lease_s": 60,
        "default_deadline_s": PATIENCE_S,
        **changes,
    }


def ledger_path(folder: Path) -> Path:
    """The file that holds the ledger."""
    return folder / "ledger.db"


@dataclass(frozen=True)
class Place:
    """Where processes meet: a state store, a ledger, and whether each is on a machine of its own."""

    store: Store
    folder: Path
    ledger: str
    apart: bool = False

    def settings(self, base_url: str, **changes: Any) -> dict[str, Any]:
        """Those of processes that meet here."""
        return shared_settings(self.folder, self.store.url, base_url, **{"ledger": self.ledger, **changes})


def wait_until(reached: Callable[[], bool], what: str) -> None:
    """Return once `reached` says so, and fail when it does not."""
    deadline = time.monotonic() + PATIENCE_S
    while not reached():
        assert time.monotonic() < deadline, f"waited {PATIENCE_S:.0f} s for {what}"
        time.sleep(0.02)


class Crowd:
    """The processes. Those that were killed are left out of what is told."""

    def __init__(self, processes: list[subprocess.Popen[str]], *, apart: bool = False) -> None:
        self.processes = processes
        self._apart = apart

    def begin(self) -> None:
        """Let all begin at once; returns when they are ready and told."""
        for process in self.processes:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "ready"
        self._say("go")

    def stop(self) -> None:
        """Let all end, whatever they are at."""
        self._say("stop")

    def kill_leader(self, store: Store) -> None:
        """SIGKILL the one that fetches an answer that others wait for."""
        if self._apart:
            assert isinstance(store, RedisStore)
            (host,) = store.leading_hosts()
            victim = self.processes[int(host.rpartition("-")[2])]
        else:
            (pid,) = store.leaders()
            (victim,) = [process for process in self.processes if process.pid == pid]
        victim.kill()
        victim.wait()

    def told(self) -> list[Told]:
        """Wait for all; what each of the living tells."""
        living = [process for process in self.processes if process.returncode != -9]
        told = []
        for process in living:
            assert process.stdout is not None
            told.append(Told(**json.loads(process.stdout.readline())))
            assert process.wait(PATIENCE_S) == 0
        return told

    def ends(self) -> Counter[str]:
        """Wait for all; how many calls of the living ended in which way."""
        return sum((Counter(each.ends) for each in self.told()), Counter())

    def _say(self, word: str) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{word}\n")
            process.stdin.flush()


@contextmanager
def crowd(plans: Sequence[Plan], *, apart: bool = False) -> Iterator[Crowd]:
    """A process for each plan; none outlives the block. `apart`, each is process 1 of a machine `pod-<number>`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    processes = [
        subprocess.Popen(
            [*(on_machine(f"pod-{number}") if apart else []), sys.executable, str(WORKER), plan.json()],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number, plan in enumerate(plans)
    ]
    try:
        yield Crowd(processes, apart=apart)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
