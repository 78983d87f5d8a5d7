"""One run of the money harness: spend, kill, change caps, finish, and set the books against each other."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from benchmarks.books import Attempt, read_attempts, set_against
from benchmarks.cap_changes import BINDS_WITHIN_S, CapWatch
from benchmarks.fleet import Fleet, all_points
from benchmarks.meter import Behaviour, InvoiceLine
from benchmarks.money_worker import Plan, core_settings
from benchmarks.nursery import Nurseries, open_nurseries
from benchmarks.outcome import Outcome
from benchmarks.provider import ProviderProcess, start_provider
from benchmarks.stores import Store, open_store

NANO = 10**9
USED_AT_LEAST = 0.95
# No windows that end at midnight: the books are set against whole scopes.
SCOPES = ("org", "task:spend", "run:chaos")
WEATHER = Behaviour(
    latency_s=0.02,
    jitter_s=0.08,
    busy_share=0.001,
    retry_after_s=0.2,
    error_share=0.02,
    drop_share=0.01,
    truncate_share=0.01,
    silent_share=0.01,
)
# From each share of the cap on, a provider that is slower by so many seconds leaves money for the kills to come. The
# slower the machine, the longer they take, while calls that wait for the provider cost as much as on a fast one.
SLOWER_S = {0.6: 1.0, 0.85: 4.0}
# A lowered cap is watched for so long after it had to bind.
OBSERVED_S = 1.5
_LOOK_S = 0.02
_REPORT_S = 2.0


@dataclass(frozen=True)
class Scale:
    """How much happens.

    Attributes:
        cap_usd: binds all scopes.
        changes: of the cap, one after the other: (spent, cap) sets it to `cap` once `spent` is spent, both as shares
            of `cap_usd`.
        kills: processes killed from outside.
        sweeps: how often every kill point kills a process.
        pause_s: least and most seconds between two kills from outside.
        ledger: URL of a PostgreSQL database for the ledger; empty for an SQLite file.
        machines: over so many the processes are spread; more than one have the same name and the same process ids.
    """

    processes: int
    tasks: int
    kills: int
    cap_usd: Decimal
    sweeps: int = 1
    state: str = "sqlite"
    changes: Sequence[tuple[Decimal, Decimal]] = ()
    pause_s: tuple[float, float] = (0.5, 2.5)
    lease_s: float = 15.0
    seed: int = 1
    patience_s: float = 3600.0
    client: str = "core"
    ledger: str = ""
    machines: int = 1

    @property
    def caps(self) -> list[int]:
        """All caps in the order they are set, nano-USD."""
        return [int(self.cap_usd * share * NANO) for share in (Decimal(1), *(share for _, share in self.changes))]


def run_money(scale: Scale, weather: Behaviour = WEATHER, progress: Callable[[str], None] = lambda _: None) -> Outcome:
    """One run in a folder of its own; `progress` is told how it goes."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        store = stack.enter_context(open_store(scale.state, folder))
        provider = stack.enter_context(start_provider(weather, seed=scale.seed))
        nurseries = stack.enter_context(open_nurseries(scale.client, scale.machines))
        return MoneyRun(scale, folder, store, provider, nurseries, weather, progress).run()


class MoneyRun:
    """The run in `folder`."""

    def __init__(
        self,
        scale: Scale,
        folder: Path,
        store: Store,
        provider: ProviderProcess,
        nurseries: Nurseries,
        weather: Behaviour,
        progress: Callable[[str], None],
    ) -> None:
        self._scale = scale
        self._folder = folder
        self._store = store
        self._provider = provider
        self._weather = weather
        self._slower_s = 0.0
        self._progress = progress
        self._began = time.monotonic()
        self._next_report = self._began
        self._caps = CapWatch(scale.caps[0])
        self._plan = Plan(
            folder=str(folder),
            state=store.url,
            base_url=provider.base_url,
            name="harness",
            tasks=scale.tasks,
            budgets=dict.fromkeys(SCOPES, str(scale.cap_usd)),
            lease_s=scale.lease_s,
            client=scale.client,
            database=scale.ledger,
        )
        self.outcome = Outcome(
            client=scale.client,
            state=scale.state,
            processes=scale.processes,
            tasks=scale.tasks,
            cap=scale.caps[-1],
            highest_cap=max(scale.caps),
        )
        points = all_points(scale.sweeps) if self._is_core else []
        self._fleet = Fleet(
            nurseries,
            self._plan,
            scale.processes,
            scale.kills,
            points,
            pause_s=scale.pause_s,
            seed=scale.seed,
            report=self._problem,
        )
        self._kills_due = scale.kills + len(points)

    @property
    def _is_core(self) -> bool:
        return self._scale.client == "core"

    def run(self) -> Outcome:
        """Spend, kill, change caps, finish, and compare the books."""
        if self._is_core:
            asyncio.run(self._look_through_client(None))  # makes the files, so that no worker waits for another
        self._fleet.start()
        self._harass()
        self._finish()
        self.outcome.kills = dict(self._fleet.killed)
        self._compare()
        self.outcome.seconds = time.monotonic() - self._began
        return self.outcome

    def _harass(self) -> None:
        """Kill until all kills are done, and move the cap meanwhile."""
        deadline = time.monotonic() + self._scale.patience_s
        self._until(lambda _: self._provider.counts()["requests"] > 0, "the first request", deadline)
        self._fleet.expose()
        for (spent, _), cap in zip(self._scale.changes, self._scale.caps[1:], strict=True):
            self._until(lambda now, due=int(spent * self._scale.caps[0]): now >= due, f"{spent:%} spent", deadline)
            self._change_cap(cap)
        self._until(lambda _: self._fleet.killed.total() >= self._kills_due, f"{self._kills_due} kills", deadline)
        self.outcome.spent_at_last_kill = self._watch() / self.outcome.cap
        self._behave(0.0)

    def _until(self, reached: Callable[[int], bool], what: str, deadline: float) -> None:
        """Go on until `reached` says so of what is spent."""
        for spent in self._steps():
            if reached(spent):
                return
            if time.monotonic() > deadline:
                points = ", ".join(self._fleet.points_left()) or "none"
                self._problem(
                    f"patience ended before {what}: {spent} were spent, {self._fleet.killed.total()} killed; "
                    f"{self._fleet.kills_left} kills at random and these points were left: {points}"
                )
                return

    def _steps(self) -> Iterator[int]:
        """Go on harassing and watching, a moment at a time; how much is spent."""
        while True:
            self._fleet.harass()
            spent = self._watch()
            self._behave(
                max((slower for share, slower in SLOWER_S.items() if spent > share * self._caps.cap), default=0.0)
            )
            yield spent
            time.sleep(_LOOK_S)

    def _change_cap(self, cap: int) -> None:
        """Set all caps while the others go on, and watch what happens for a while after they have to bind."""
        change = self._caps.changing(cap, self._store.scopes(), time.time())
        asyncio.run(self._look_through_client(Decimal(cap) / NANO))
        change.at = time.time()
        self._tell(f"the cap is {cap / NANO:.6f} USD from now on, {change.spent_before / NANO:.6f} are spent")
        for _ in self._steps():
            now = time.time()
            if change.used_then is None and now > change.at + BINDS_WITHIN_S:
                self._caps.bound_by(change, self._store.scopes())
            if now > change.at + BINDS_WITHIN_S + OBSERVED_S:
                return

    def _finish(self) -> None:
        """Let the tasks end as the budget does, and wait for the processes."""
        self._tell("all kills are done; the rest of the budget is spent")
        (self._folder / "finish").touch()
        deadline = time.monotonic() + self._scale.patience_s
        while not self._fleet.has_ended():
            self._watch()
            if time.monotonic() > deadline:
                self._problem(f"the processes did not come to an end within {self._scale.patience_s:.0f} s")
                return
            time.sleep(_LOOK_S)

    def _behave(self, slower_s: float) -> None:
        if slower_s != self._slower_s:
            self._slower_s = slower_s
            self._provider.behave(replace(self._weather, latency_s=self._weather.latency_s + slower_s))

    def _watch(self) -> int:
        """No scope is above what it may be, at any instant anybody looks; how much is spent now."""
        scopes = self._store.scopes()
        self._caps.look(scopes)
        spent = max((scope.spent for scope in scopes), default=0)
        if time.monotonic() >= self._next_report:
            self._next_report = time.monotonic() + _REPORT_S
            counts = self._provider.counts()
            self._tell(
                f"{self._fleet.killed.total()} of {self._kills_due} kills, {counts['requests']} requests, "
                f"invoice {counts['nano_usd'] / self.outcome.cap:.1%} and spent {spent / self.outcome.cap:.1%} "
                "of the cap"
            )
        return spent

    def _tell(self, text: str) -> None:
        self._progress(f"[{time.monotonic() - self._began:6.1f} s] {text}")

    def _problem(self, text: str) -> None:
        """Note it and say it at once."""
        self.outcome.problems.append(text)
        self._tell(f"PROBLEM: {text}")

    async def _look_through_client(self, cap_usd: Decimal | None) -> None:
        """Open a client of our own: it books what the dead left, sets caps where told, and writes the ledger."""
        from resources.llm import open_client

        async with open_client(core_settings(self._plan)) as llm:
            if cap_usd is not None:
                for scope in SCOPES:
                    await llm.set_cap(scope, cap_usd)
            await llm.flush()

    def _recover(self) -> None:
        """Have the dead's attempts booked and everything in the ledger; on a server the dead show by their silence."""
        deadline = time.monotonic() + 2 * self._scale.lease_s + 30
        while True:
            asyncio.run(self._look_through_client(None))
            intents, records = self._store.pending()
            if not intents and not records:
                return
            if time.monotonic() > deadline:
                self._problem(f"{intents} intents are still open and {records} records are not in the ledger")
                return
            time.sleep(0.2)

    def _compare(self) -> None:
        outcome = self.outcome
        counts = self._provider.settled_counts()
        outcome.requests, outcome.billed, outcome.invoice = counts["requests"], counts["billed"], counts["nano_usd"]
        if outcome.invoice > outcome.highest_cap:
            over = outcome.invoice - outcome.highest_cap
            self._problem(f"the invoice is {outcome.invoice}, the cap {outcome.highest_cap}: overspent by {over}")
        if not self._is_core:
            return
        for breach in self._caps.breaches():
            self._problem(breach)
        self._recover()
        outcome.scopes = self._store.scopes()
        attempts = read_attempts(self._plan.ledger)
        invoice = self._provider.invoice()
        books = set_against(invoice, attempts, outcome.scopes)
        outcome.ledger_settled, outcome.ledger_ambiguous = books.certain, books.ambiguous
        outcome.doubts = books.doubts
        for difference in books.differences:
            self._problem(difference)
        if sorted(SCOPES) != [scope.name for scope in outcome.scopes]:
            self._problem(
                f"the store holds the scopes {[scope.name for scope in outcome.scopes]}, not {sorted(SCOPES)}"
            )
        if outcome.used < USED_AT_LEAST * outcome.cap:
            self._problem(f"only {outcome.used} of {outcome.cap} could be used, {outcome.used / outcome.cap:.2%}")
        self._judge_changes(attempts, invoice)

    def _judge_changes(self, attempts: Sequence[Attempt], invoice: Sequence[InvoiceLine]) -> None:
        self.outcome.cap_changes = self._caps.changes
        for change in self._caps.changes:
            if not change.stops_all:
                continue
            change.admitted_late = change.late(attempts, invoice)
            change.last_arrival_s = change.last_arrival(invoice)
            if change.admitted_late:
                self._problem(
                    f"{change.admitted_late} attempts were admitted over {BINDS_WITHIN_S:g} s after the cap fell to "
                    f"{change.cap} with {change.spent_before} spent"
                )
