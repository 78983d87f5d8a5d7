"""Worker processes forked from one that has imported everything, so that a start costs milliseconds, not a second.

    python -m benchmarks.nursery core

reads commands (JSON lines) and writes who ended. It and all workers end when its stdin closes, so none outlives the
harness, however that ends.
"""

from __future__ import annotations

import contextlib
import importlib
import itertools
import json
import os
import select
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from typing import IO, NoReturn

from benchmarks.machines import on_machine
from benchmarks.money_worker import Plan, run
from benchmarks.provider import ROOT
from benchmarks.wire import allow_many_sockets

PRELOADED = {
    "core": (
        "psycopg",
        "resources.llm",
        "resources.database.schema",
        "resources.llm.state.redis",
        "redis.asyncio",
        "aiohttp",
    ),
    "litellm": ("litellm",),
}
# Else LiteLLM looks for a newer table of prices on the network, in a thread that no fork survives.
ENVIRONMENT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
_LOOK_S = 0.01


class Nursery:
    """The forking process, seen from the harness."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin: IO[bytes] = process.stdin
        self._stdout: IO[bytes] = process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        self._heard = b""

    def start(self, plan: Plan) -> None:
        """Fork a worker with this plan."""
        self._say({"start": asdict(plan)})

    def kill(self, name: str) -> None:
        """SIGKILL the worker of this name, if it still lives."""
        self._say({"kill": name})

    def ended(self) -> dict[str, int]:
        """Who ended since the last look: exit status, negative for a signal."""
        while part := self._stdout.read():
            self._heard += part
        *lines, self._heard = self._heard.split(b"\n")
        return {ended["ended"]: ended["status"] for ended in map(json.loads, lines)}

    def _say(self, command: dict[str, object]) -> None:
        self._stdin.write(json.dumps(command).encode() + b"\n")
        self._stdin.flush()


class Nurseries:
    """Several machines, each with a nursery; workers are spread over them."""

    def __init__(self, nurseries: Sequence[Nursery]) -> None:
        self._nurseries = nurseries
        self._turns = itertools.cycle(nurseries)

    def start(self, plan: Plan) -> None:
        """Fork a worker on the machine whose turn it is."""
        next(self._turns).start(plan)

    def kill(self, name: str) -> None:
        """SIGKILL the worker of this name, wherever it lives."""
        for nursery in self._nurseries:
            nursery.kill(name)

    def ended(self) -> dict[str, int]:
        """Who ended since the last look, on any machine."""
        return {name: status for nursery in self._nurseries for name, status in nursery.ended().items()}


@contextmanager
def open_nurseries(client: str, machines: int) -> Iterator[Nurseries]:
    """Nurseries on this machine alone, or on so many that have the same host name and the same process ids."""
    with ExitStack() as stack:
        places = [[]] if machines == 1 else [on_machine("worker") for _ in range(machines)]
        yield Nurseries([stack.enter_context(open_nursery(client, place)) for place in places])


@contextmanager
def open_nursery(client: str, place: Sequence[str] = ()) -> Iterator[Nursery]:
    """A nursery for workers of `client`; it and its workers end with the block. `place` goes before its command."""
    command = [*place, sys.executable, "-m", "benchmarks.nursery", client]
    environment = {**os.environ, **ENVIRONMENT}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield Nursery(process)


class _Workers:
    """The forking process, from inside."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}

    def serve(self) -> None:
        """Until stdin closes."""
        commands = b""
        while True:
            readable, _, _ = select.select([0], [], [], _LOOK_S)
            if readable:
                part = os.read(0, 65_536)
                if not part:
                    return
                *lines, commands = (commands + part).split(b"\n")
                for line in lines:
                    self._obey(json.loads(line))
            self._reap()

    def end(self) -> None:
        """Kill whoever is left."""
        for pid in self._names:
            os.kill(pid, signal.SIGKILL)

    def _obey(self, command: dict[str, object]) -> None:
        if "start" in command:
            plan = Plan(**command["start"])  # pyright: ignore[reportCallIssue]
            pid = os.fork()
            if pid == 0:
                _become(plan)
            self._names[pid] = plan.name
            return
        for pid, name in self._names.items():
            if name == command["kill"]:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = ended
                line = {"ended": self._names.pop(pid), "status": os.waitstatus_to_exitcode(status)}
                os.write(1, json.dumps(line).encode() + b"\n")


def _become(plan: Plan) -> NoReturn:
    """Be the worker, in the process that was forked for it."""
    status = 1
    try:
        log = os.open(plan.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for descriptor in (1, 2):
            os.dup2(log, descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        run(plan)
        status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)


def main() -> None:
    """Serve; says `ready` when everything is imported."""
    for name in PRELOADED[sys.argv[1]]:
        importlib.import_module(name)
    allow_many_sockets()
    workers = _Workers()
    os.write(1, b"ready\n")
    try:
        workers.serve()
    finally:
        workers.end()


if __name__ == "__main__":
    main()
