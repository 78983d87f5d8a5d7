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

    python -m benchmarks.instance_kills --kills 1                   one to two minutes
    python -m benchmarks.instance_kills --kills 10                  full scale: a quarter of an hour
    python -m benchmarks.instance_kills --kills 10 --state redis    the same on PostgreSQL and Valkey of its own
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from benchmarks.instance_audit import Figures, audit
from benchmarks.instance_killing import VICTIMS, Killing, Tally, tell
from benchmarks.instance_place import WORKS, Place, lay_out
from benchmarks.instance_processes import Daemon, WebServer
from benchmarks.instance_watch import Watch, all_batches
from orchestration import backfill
from orchestration.instance import open_instance

LOOK_S = 1.0
FINISHING_S = 240.0


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(LOOK_S)
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
