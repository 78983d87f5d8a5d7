"""Dagster's processes are killed in the middle of a batch, a backfill and a provider batch; then the books are read.

A real instance (web server, daemon, and a process for each run) works in rounds. In each a file is dropped for a task
that asks row by row, one for a task that hands its rows to the provider's batch API, and a backfill of three new tasks
is launched. While they are under way the web server, the daemon and the processes of runs are killed (SIGKILL) at
random instants; the servers are started again at once, runs have to be started again by the instance itself. Every
second time the runs that the daemon had started die with it, as when a machine or a container goes; every other time
only its code server does, and they live on.

A kill counts for a work only if that work was under way before it and still was after it; others are done again. In
the end
- every row of every batch has one result, the right one, and no job was created twice or left behind at the provider;
- every partition of every backfill is made, and the backfills have succeeded;
- no run is left unfinished, and the web server shows of all runs what the instance knows;
- rows that were paid for twice are at most those under way at the kills of their process, and batches name theirs;
- the invoice is the ledger, to the nano-dollar, once the ambiguous attempts are set against it one by one.

    python -m benchmarks.instance_kills --kills 1                   some three minutes
    python -m benchmarks.instance_kills --kills 10                  full scale: half an hour
    python -m benchmarks.instance_kills --kills 10 --state redis    the same on PostgreSQL and Valkey of its own
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.instance_audit import Figures, audit
from benchmarks.instance_place import JOBS, WORKS, Place, Round, lay_out
from benchmarks.instance_processes import Daemon, WebServer
from benchmarks.instance_watch import Sight, Watch, all_batches
from orchestration import backfill
from orchestration.instance import open_instance

WEB_SERVER, DAEMON, WORKER = "web server", "daemon", "run worker"
VICTIMS = (WEB_SERVER, DAEMON, WORKER)
LONGEST_DELAY_S = 3.0
LOOK_S = 0.2
# So long all works of a round are waited for before a server is killed with fewer of them under way.
ALL_S = 60.0
KILLING_S = 150.0
FINISHING_S = 240.0


@dataclass(frozen=True)
class Kill:
    """One SIGKILL, or several at once.

    Attributes:
        works: those that were under way before and after it.
        lost: those whose run's process died of it.
    """

    round: int
    victim: str
    works: tuple[str, ...]
    lost: tuple[str, ...]
    restart_s: float


@dataclass
class Tally:
    """All kills, and what went wrong."""

    wanted: int
    kills: list[Kill] = field(default_factory=list)
    too_late: int = 0
    rounds: list[Round] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def counted(self, victim: str, work: str) -> int:
        """Kills of this victim in the middle of this work."""
        return sum(kill.victim == victim and work in kill.works for kill in self.kills)

    def open(self, victim: str) -> set[str]:
        """Works in the middle of which the victim is to be killed yet."""
        return {work for work in WORKS if self.counted(victim, work) < self.wanted}

    @property
    def enough(self) -> bool:
        """Whether all kills were done."""
        return not any(self.open(victim) for victim in VICTIMS)

    def lost(self) -> Counter[str]:
        """How often a run's process died, by work."""
        return Counter(work for kill in self.kills for work in kill.lost)


class Killing:
    """The kills of one round: each victim once, a run's process once for each work.

    In every second round the backfill's process is killed while rows are being paid for, and the provider batch's while
    jobs that have ended are settled; in the others as soon as they work.
    """

    def __init__(
        self,
        tally: Tally,
        place: Place,
        watch: Watch,
        begun: Round,
        servers: tuple[WebServer, Daemon],
        chance: random.Random,
    ) -> None:
        self._tally = tally
        self._provider = place.provider
        self._late = begun.number % 2 == 1
        self._watch = watch
        self._round = begun
        self._web, self._daemon = servers
        self._chance = chance
        self._left: set[tuple[str, str | None]] = {(name, None) for name in (WEB_SERVER, DAEMON) if tally.open(name)}
        self._left |= {(WORKER, work) for work in tally.open(WORKER)}

    def run(self) -> None:
        """Kill whatever is to be killed, each at a moment of chance."""
        began = time.monotonic()
        while self._left and time.monotonic() - began < KILLING_S:
            patient = time.monotonic() - began < ALL_S
            if self._late and self._left == {(WORKER, JOBS)}:
                self._provider.jobs_held = False
            sights = self._watch.see_all()
            if all(sight.over for sight in sights.values()):
                return
            possible = sorted(one for one in self._left if self._is_possible(*one, sights, patient=patient))
            if not possible:
                time.sleep(LOOK_S)
                continue
            victim, work = self._chance.choice(possible)
            time.sleep(self._chance.uniform(0.0, LONGEST_DELAY_S))
            sights = self._watch.see_all()
            if self._is_possible(victim, work, sights, patient=patient):
                self._left.discard((victim, work))
                self._note(victim, work, sights, *self._kill(victim, work, sights))

    def _is_possible(self, victim: str, work: str | None, sights: dict[str, Sight], *, patient: bool) -> bool:
        if work is not None:
            ripe = sights[work].late or not self._late
            return ripe and sights[work].under_way and sights[work].pid is not None
        wanted = [sights[one].under_way for one in self._tally.open(victim)]
        return all(wanted) if patient else any(wanted)

    def _kill(self, victim: str, work: str | None, sights: dict[str, Sight]) -> tuple[tuple[str, ...], float]:
        """The works whose process died, and the seconds until a server was there again."""
        if victim == WEB_SERVER:
            known = set(self._web.runs())
            self._web.kill(runs=False)
            restart_s = self._web.start()
            if lost_sight := known - set(self._web.runs()):
                self._tally.problems.append(f"the web server that was started again does not show {lost_sight}")
            return (), restart_s
        if victim == DAEMON:
            with_runs = self._round.number % 2 == 1
            self._daemon.kill(runs=with_runs)
            lost = tuple(one for one in WORKS if with_runs and sights[one].pid is not None)
            return lost, self._daemon.start()
        assert work is not None
        pid = sights[work].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        return (work,), 0.0

    def _note(
        self,
        victim: str,
        work: str | None,
        before: dict[str, Sight],
        lost: tuple[str, ...],
        restart_s: float,
    ) -> None:
        after = self._watch.see_all()
        meant = WORKS if work is None else (work,)
        works = tuple(one for one in meant if before[one].under_way and after[one].under_way)
        self._tally.too_late += not works
        self._tally.kills.append(Kill(self._round.number, victim, works, lost, round(restart_s, 1)))
        tell(f"round {self._round.number}: {victim} killed in the middle of {', '.join(works) or 'nothing'}")


def tell(line: str) -> None:
    """Progress, for people."""
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(5 * LOOK_S)
    return True


def run_rounds(place: Place, instance: dg.DagsterInstance, tally: Tally, chance: random.Random) -> Figures:
    """Rounds until there are kills enough, then the audit."""
    web, daemon = WebServer(place.folder), Daemon(place.folder, instance)
    with ExitStack() as stack:
        stack.callback(web.end)
        stack.callback(daemon.end)
        tell(f"daemon ready after {daemon.start():.0f} s, web server after {web.start():.0f} s")
        while not tally.enough and not tally.problems and len(tally.rounds) < 2 * tally.wanted + 2:
            _run_round(place, instance, tally, chance, (web, daemon))
        if not tally.enough:
            tally.problems.append("fewer kills than wanted came in time")
        return audit(place, instance, web, tally.rounds, tally.lost())


def _run_round(
    place: Place,
    instance: dg.DagsterInstance,
    tally: Tally,
    chance: random.Random,
    servers: tuple[WebServer, Daemon],
) -> None:
    former = {record.id for record in all_batches(place)}
    place.provider.hold(True)
    begun = place.begin(len(tally.rounds) + 1)
    tally.rounds.append(begun)
    backfill.launch(begun.assets, list(begun.shelves), key=begun.key, way="daemon")
    watch = Watch(place, instance, begun, former)
    Killing(tally, place, watch, begun, servers, chance).run()
    place.provider.hold(False)

    def is_finished() -> bool:
        over = all(sight.over for sight in watch.see_all().values())
        return over and not watch.waits_for_retry() and not watch.unfinished_runs()

    began = time.monotonic()
    if not wait_until(is_finished, FINISHING_S):
        states = {work: sight.state for work, sight in watch.see_all().items()}
        runs = [f"{run.job_name} {run.run_id[:8]} {run.status.value}" for run in watch.unfinished_runs()]
        tally.problems.append(f"round {begun.number} does not come to its end: {states}, runs {runs}")
    tell(f"round {begun.number}: finished {time.monotonic() - began:.0f} s after the last kill")


def summary(tally: Tally, figures: Figures, seconds: float) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "kills": {victim: {work: tally.counted(victim, work) for work in WORKS} for victim in VICTIMS},
        "signals": len(tally.kills),
        "too_late": tally.too_late,
        "runs_killed": dict(tally.lost()),
        "rounds": len(tally.rounds),
        "seconds": round(seconds),
        **asdict(figures),
        "problems": [*tally.problems, *figures.problems],
    }


def show(told: dict[str, Any]) -> None:
    """For people."""
    print(f"{'killed in the middle of':24}" + "".join(f"{work:>16}" for work in WORKS))
    for victim, works in told["kills"].items():
        print(f"{victim:24}" + "".join(f"{count:>16}" for count in works.values()))
    print(f"processes of runs killed: {told['runs_killed']}, {told['too_late']} kills came too late and do not count")
    for name, value in told.items():
        if isinstance(value, int | float) and name != "too_late":
            print(f"{name.replace('_', ' ')}: {value:,}")
    for problem in told["problems"]:
        print(f"PROBLEM {problem}")


def main() -> None:
    """Run and tell; exit status 1 where anything did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instance_kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=1, help="of each victim in the middle of each work (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (default: 1)")
    parser.add_argument("--state", choices=("sqlite", "redis"), default="sqlite", help="redis: with PostgreSQL")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.add_argument("--folder", type=Path, help="where to work; kept, unlike a temporary folder")
    options = parser.parse_args()
    # The provider says so of every client that is killed in the middle of a request.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = (options.folder or Path(tempfile.mkdtemp(prefix="promptory-kills-"))).resolve()
    tally, began = Tally(options.kills), time.monotonic()
    try:
        with lay_out(folder, options.state) as place, open_instance(place.environment) as instance:
            figures = run_rounds(place, instance, tally, random.Random(options.seed))
    finally:
        if options.folder is None:
            shutil.rmtree(folder, ignore_errors=True)
    told = summary(tally, figures, time.monotonic() - began)
    print(json.dumps(told, indent=2)) if options.json else show(told)
    raise SystemExit(1 if told["problems"] else 0)


if __name__ == "__main__":
    main()
