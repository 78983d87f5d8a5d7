"""Does a cap hold, and do the books agree, while processes are killed?

Several processes with many tasks each spend one budget at a provider that is slow, fails, drops and truncates answers.
Processes are killed (SIGKILL) at random times, and by themselves right before, within and right after a durable write;
each is replaced. In the end the invoice must not exceed the cap, at least 95 % of the cap must be used, and ledger,
scopes and invoice must agree, once the ambiguous attempts, one by one, are set against the invoice.

    python -m benchmarks.money --processes 2 --tasks 20 --kills 6 --cap 0.01
    python -m benchmarks.money --processes 8 --tasks 1000          full scale
    python -m benchmarks.money --change-caps                       caps move meanwhile; a lowered one binds within 1 s
    python -m benchmarks.money --litellm --kills 0                 LiteLLM's Router with its provider budget
"""

from __future__ import annotations

import argparse
import asyncio
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from benchmarks.books import Scope, disagreements, read_attempts, read_pending, read_scopes
from benchmarks.money_worker import KILL_POINTS, Plan, core_settings
from benchmarks.provider import ROOT, Behaviour, ProviderProcess, start_provider

NANO = 10**9
BINDS_WITHIN_S = 1.0
USED_AT_LEAST = 0.95
# So long a process that is to kill itself is not killed by others.
SPARED_S = 6.0
SCOPES: tuple[str, ...] = ("day", "task:spend", "run:chaos")
WEATHER = Behaviour(
    latency_s=0.02, jitter_s=0.08, error_share=0.02, drop_share=0.01, truncate_share=0.01, silent_share=0.01
)


@dataclass(frozen=True)
class Scale:
    """How much happens. `cap_usd` binds all scopes; `caps_usd` are set one after the other while it happens."""

    processes: int
    tasks: int
    kills: int
    cap_usd: Decimal
    caps_usd: Sequence[Decimal] = ()
    seed: int = 1
    patience_s: float = 3600.0
    client: str = "core"


@dataclass
class Outcome:
    """What was seen. Money is nano-USD; `problems` is empty when everything held."""

    cap: int
    invoice: int = 0
    used: int = 0
    ambiguous: int = 0
    calls: int = 0
    kills: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        killed = ", ".join(f"{count} × {how}" for how, count in sorted(self.kills.items())) or "none"
        verdict = "\n".join(f"PROBLEM: {problem}" for problem in self.problems) or "all held"
        return (
            f"billed requests {self.calls}, kills: {killed}\n"
            f"invoice {self.invoice / self.cap:.2%} of the cap, booked {self.used / self.cap:.2%} "
            f"(ambiguous {self.ambiguous / self.cap:.2%})\n{verdict}"
        )


class MoneyRun:
    """One run of the harness in `folder`."""

    def __init__(self, scale: Scale, folder: Path, provider: ProviderProcess) -> None:
        self._scale = scale
        self._folder = folder
        self._provider = provider
        self._random = random.Random(scale.seed)
        self._workers: list[subprocess.Popen[bytes]] = []
        self._started = 0
        self._armed: dict[int, tuple[str, float]] = {}
        self._kills_left = scale.kills
        self._highest_cap = max(scale.cap_usd, *scale.caps_usd) if scale.caps_usd else scale.cap_usd
        self.outcome = Outcome(cap=int(self._highest_cap * NANO))

    def run(self) -> Outcome:
        """Spend, kill, change caps, finish, and compare the books."""
        try:
            if self._scale.client == "core":
                asyncio.run(self._look_through_client(None))  # makes the files, so that no worker waits for another
            self._workers = [self._start(armed=self._kills_left > 0) for _ in range(self._scale.processes)]
            self._harass()
            for cap in self._scale.caps_usd:
                self._change_cap(cap)
            self._finish()
        finally:
            for worker in self._workers:
                worker.kill()
                worker.wait()
        self._compare()
        return self.outcome

    def _start(self, *, armed: bool) -> subprocess.Popen[bytes]:
        """A process; every second one kills itself at a durable write, sooner or later."""
        self._started += 1
        plan = Plan(
            str(self._folder),
            self._provider.base_url,
            f"p{self._started}",
            self._scale.tasks,
            dict.fromkeys(SCOPES, str(self._scale.cap_usd)),
            client=self._scale.client,
        )
        if armed and self._started % 2 == 0 and self._scale.client == "core":
            point = KILL_POINTS[self._started // 2 % len(KILL_POINTS)]
            most = 5 if point.startswith("ledger") else 4 * self._scale.tasks
            plan = replace(plan, kill_point=point, kill_count=self._random.randint(1, most))
        command = [sys.executable, "-m", "benchmarks.money_worker", plan.json()]
        worker = subprocess.Popen(command, cwd=ROOT)
        if plan.kill_point:
            self._armed[worker.pid] = plan.kill_point, time.monotonic() + SPARED_S
        return worker

    def _harass(self) -> None:
        """Kill until all kills are done, replacing whoever dies."""
        deadline = time.monotonic() + self._scale.patience_s
        next_kill = time.monotonic() + self._random.uniform(0.5, 2.5)
        while self._kills_left > 0:
            if time.monotonic() > deadline:
                self.outcome.problems.append(f"{self._kills_left} kills were left when patience ended")
                return
            self._watch()
            for place, worker in enumerate(self._workers):
                if worker.poll() is not None:
                    self._replace(place, self._armed.get(worker.pid, (f"exit {worker.returncode}",))[0])
            places = [place for place, worker in enumerate(self._workers) if not self._spared(worker)]
            if time.monotonic() >= next_kill and self._kills_left > 0 and places:
                place = self._random.choice(places)
                self._workers[place].kill()
                self._workers[place].wait()
                self._replace(place, "at random")
                next_kill = time.monotonic() + self._random.uniform(0.5, 2.5)
            time.sleep(0.02)

    def _spared(self, worker: subprocess.Popen[bytes]) -> bool:
        """Whether it is still expected to kill itself."""
        return worker.pid in self._armed and time.monotonic() < self._armed[worker.pid][1]

    def _replace(self, place: int, how: str) -> None:
        self.outcome.kills[how] = self.outcome.kills.get(how, 0) + 1
        self._kills_left -= 1
        self._workers[place] = self._start(armed=self._kills_left > 0)

    def _change_cap(self, cap_usd: Decimal) -> None:
        """Set all caps; if more than that is spent already, nothing may be sent a second later."""
        before = self._used()
        asyncio.run(self._look_through_client(cap_usd))
        changed = time.time()
        cap = int(cap_usd * NANO)
        time.sleep(BINDS_WITHIN_S)
        self._until(time.monotonic() + 1.5)
        late = [line for line in self._provider.invoice() if line.received_at > changed + BINDS_WITHIN_S]
        if before >= cap and late:
            self.outcome.problems.append(f"{len(late)} requests arrived over a second after the cap fell below spend")
        if before < cap and self._used() > cap:
            self.outcome.problems.append(f"{self._used()} is in use under a cap of {cap}")

    def _until(self, moment: float) -> None:
        while time.monotonic() < moment:
            self._watch()
            time.sleep(0.02)

    def _finish(self) -> None:
        """Let the tasks end as the budget does, and wait for the processes."""
        (self._folder / "finish").touch()
        deadline = time.monotonic() + self._scale.patience_s
        while any(worker.poll() is None for worker in self._workers):
            self._watch()
            # A process that was to kill itself may have done so only now; the others go on without it.
            if time.monotonic() > deadline:
                self.outcome.problems.append("the processes did not come to an end")
                return
            time.sleep(0.05)

    def _watch(self) -> None:
        """No scope is over the highest cap there ever was, at any instant anybody looks."""
        for scope in self._scopes():
            if scope.used > self.outcome.cap:
                self.outcome.problems.append(f"{scope} is over the cap {self.outcome.cap}")

    def _scopes(self) -> list[Scope]:
        state = self._folder / "state.db"
        return read_scopes(state) if state.exists() else []

    def _used(self) -> int:
        return max((scope.settled + scope.ambiguous for scope in self._scopes()), default=0)

    async def _look_through_client(self, cap_usd: Decimal | None) -> None:
        """Open a client of our own: it books what the dead left, sets caps where told, and writes the ledger."""
        from resources.llm import open_client

        budgets = dict.fromkeys(SCOPES, str(self._scale.cap_usd))
        async with open_client(core_settings(self._folder, self._provider.base_url, budgets)) as llm:
            if cap_usd is not None:
                for scope in SCOPES:
                    await llm.set_cap(scope, cap_usd)
            await llm.flush()

    def _compare(self) -> None:
        outcome = self.outcome
        counts = self._provider.settled_counts()
        outcome.calls, outcome.invoice = counts["billed"], counts["nano_usd"]
        if outcome.invoice > outcome.cap:
            outcome.problems.append(f"the invoice is {outcome.invoice}, the cap {outcome.cap}")
        if self._scale.client != "core":
            return
        asyncio.run(self._look_through_client(None))
        scopes = self._scopes()
        last_cap = int((self._scale.caps_usd[-1] if self._scale.caps_usd else self._scale.cap_usd) * NANO)
        outcome.used, outcome.ambiguous = self._used(), max(scope.ambiguous for scope in scopes)
        if outcome.used < USED_AT_LEAST * last_cap:
            outcome.problems.append(f"only {outcome.used} of {last_cap} could be used")
        if any(pending := read_pending(self._folder / "state.db")):
            outcome.problems.append(f"intents and records that are still open: {pending}")
        attempts = read_attempts(self._folder / "ledger.db")
        outcome.problems += disagreements(self._provider.invoice(), attempts, scopes)


def run_money(scale: Scale, weather: Behaviour = WEATHER) -> Outcome:
    """One run in a folder of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider = stack.enter_context(start_provider(weather, seed=scale.seed))
        return MoneyRun(scale, folder, provider).run()


def main() -> None:
    """The command line; exit status 1 when something did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.money", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--processes", type=int, default=8, help="processes that spend (default: 8)")
    parser.add_argument("--tasks", type=int, default=1000, help="concurrent tasks in each (default: 1000)")
    parser.add_argument("--kills", type=int, default=100, help="processes that are killed (default: 100)")
    parser.add_argument("--cap", type=Decimal, default=Decimal(5), help="USD that may be spent (default: 5)")
    parser.add_argument("--change-caps", action="store_true", help="lower and raise the cap meanwhile")
    parser.add_argument("--litellm", action="store_true", help="LiteLLM's Router instead of the core")
    parser.add_argument("--seed", type=int, default=1, help="seed of kills and faults (default: 1)")
    options = parser.parse_args()
    caps = [options.cap * share for share in (Decimal("0.01"), Decimal("1.2"), Decimal("0.8"))]
    scale = Scale(
        options.processes,
        options.tasks,
        options.kills,
        options.cap,
        caps if options.change_caps else (),
        seed=options.seed,
        client="litellm" if options.litellm else "core",
    )
    outcome = run_money(scale)
    print(outcome)
    sys.exit(1 if outcome.problems else 0)


if __name__ == "__main__":
    main()
