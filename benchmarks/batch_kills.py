"""Workers of a batch are killed over and over, uniformly in time and at every durable write; then the books are read.

Each session is one batch on a database, a state store and a provider of its own. A worker runs it and is killed; the
next one goes on, until no kill is left and the batch is done. Then
- every row has one result, in order, and none was lost;
- the invoice is the ledger, to the nano-dollar, once the ambiguous attempts are set against it one by one;
- whatever was billed for a row more than once is named in the batch's `repeats`, and there are no more of them than
  rows were under way at the kills;
- running the finished batch once more costs nothing.

    python -m benchmarks.batch_kills --kills 8        a minute
    python -m benchmarks.batch_kills --kills 200      full scale: every point, the rest uniform in time
    python -m benchmarks.batch_kills --state redis    on a PostgreSQL and a Valkey of their own that sync every write
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from upath import UPath

from benchmarks.batch_kill_points import OWN_POINTS, SELDOM
from benchmarks.batch_stores import BatchStores, open_batch_stores
from benchmarks.batch_worker import MOST_ROWS, TASK, prepare
from benchmarks.books import Books, read_attempts, set_against
from benchmarks.kill_points import MOMENTS, POINTS
from benchmarks.kill_points import SELDOM as SELDOM_IN_CORE
from benchmarks.provider import ROOT, Behaviour, ProviderProcess, start_provider
from benchmarks.stores import STATES
from resources.batch_inference.reading import BatchResults
from resources.batch_inference.steering import BatchView, look_at
from resources.database.session import open_database

ROWS = 300
REJECTED = 7
KILLS_PER_SESSION = 12
LONGEST_S = 2.5
AT_RANDOM = "at random"
# Rows that fail give up their lead, but too seldom to count on.
SELDOM_REACHED = ("cache_abandon",)
# A batch makes these steps once, in this order: kills at them come before and after all others of a session.
FIRST_STEPS = ("snapshot", "take_in", "open", "claim", "prepare")
LAST_STEPS = ("dead_letter", "manifest", "finish_batch", "close")


@dataclass
class Session:
    """What one batch went through.

    Attributes:
        killed: kills by point.
        repeats: calls named as paid for twice.
        problems: everything that does not hold.
    """

    killed: Counter[str] = field(default_factory=Counter[str])
    repeats: int = 0
    billed_twice: int = 0
    books: Books | None = None
    problems: list[str] = field(default_factory=list)


def write_rows(path: Path) -> None:
    """Rows whose text begins with their number; one of them cannot be used."""
    lines = [f"k{number},{'' if number == REJECTED else f'{number} is a row'}" for number in range(1, ROWS + 1)]
    path.write_text("number,text\n" + "\n".join(lines) + "\n")


@dataclass(frozen=True)
class Place:
    """Where one batch is worked on."""

    folder: Path
    stores: BatchStores
    provider: ProviderProcess


def run_session(folder: Path, stores: BatchStores, points: list[str], seed: int) -> Session:
    """One batch, killed at each of `points` in turn (`AT_RANDOM`: at any time), then finished and audited."""
    chance = random.Random(seed)
    session = Session()
    write_rows(folder / "rows.csv")
    prepare(stores.database)
    with start_provider(Behaviour(latency_s=0.05, jitter_s=0.05, error_share=0.05), seed) as provider:
        place = Place(folder, stores, provider)
        for number, point in enumerate(points):
            if _run_and_kill(place, session, point, number, chance):
                session.killed[point] += 1
        last = _finish(place, session)
        if last is None:
            return session
        _audit(place, session, last)
        before = provider.settled_counts()["billed"]
        _finish(place, session)
        if (after := provider.settled_counts()["billed"]) != before:
            session.problems.append(f"running the finished batch again was billed {after - before} times")
    return session


def _run_and_kill(place: Place, session: Session, point: str, number: int, chance: random.Random) -> bool:
    """Whether the worker died of it; it may have ended before."""
    mark = place.folder / f"mark-{number}"
    step = point.partition(":")[0]
    most = {**SELDOM_IN_CORE, **SELDOM}.get(step, 60)
    deadly = [] if point == AT_RANDOM else [point, str(chance.randint(1, most)), str(mark)]
    with _worker(place, deadly) as process:
        if point == AT_RANDOM:
            time.sleep(chance.uniform(0.0, LONGEST_S))
            process.kill()
            return process.wait() == -9
        process.wait()
    if process.returncode > 0:
        session.problems.append(f"the worker that was to die at {point} failed before: {_tail(place.folder)}")
    return mark.exists()


def _worker(place: Place, deadly: list[str]) -> subprocess.Popen[str]:
    where = [str(place.folder), place.provider.base_url, place.stores.database, place.stores.state.url]
    command = [sys.executable, "-m", "benchmarks.batch_worker", *where, *deadly]
    with (place.folder / "workers.log").open("a") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    return process


def _finish(place: Place, session: Session) -> dict[str, Any] | None:
    with _worker(place, []) as process:
        told, _ = process.communicate(timeout=120)
    if process.returncode != 0:
        session.problems.append(f"the last worker ended with {process.returncode}: {_tail(place.folder)}")
        return None
    last = json.loads(told)
    if last["state"] != "done":
        session.problems.append(f"the batch ended as {last['state']}: {last['reason']}")
    return last


def _audit(place: Place, session: Session, last: dict[str, Any]) -> None:
    place.provider.settled_counts()
    invoice = place.provider.invoice()
    # Not the day: it may have changed meanwhile.
    own = [scope for scope in place.stores.state.scopes() if scope.name == f"task:{TASK}"]
    session.books = set_against(invoice, read_attempts(place.stores.database), own)
    session.problems += session.books.differences if own else ["the state store knows nothing of the task's budget"]
    database = open_database(place.stores.database)
    root = UPath(place.folder / "storage")
    rows = list(BatchResults(database, root, last["id"]).rows())
    view = look_at(database, root, last["id"], datetime.now(UTC))
    database.dispose()
    session.problems += list(_wrong_rows(rows))
    billed = Counter(line.key for line in invoice)
    session.billed_twice = sum(count - 1 for count in billed.values())
    session.repeats = len(view.repeats)
    session.problems += list(_wrong_repeats(billed, rows, view, sum(session.killed.values())))


def _wrong_rows(rows: list[dict[str, Any]]) -> Iterator[str]:
    if [row["row"] for row in rows] != list(range(1, ROWS + 1)):
        yield f"rows lost or doubled: {len(rows)} of {ROWS}"
    for row in rows:
        wanted = "rejected" if row["row"] == REJECTED else "ok"
        if row["status"] != wanted:
            yield f"row {row['row']} is {row['status']}: {row['reason']}"
        elif wanted == "ok" and row["key"] != f"k{row['row']}":
            yield f"row {row['row']} has the key {row['key']}"
    calls = [row["call_id"] for row in rows if row["status"] == "ok"]
    if len(set(calls)) != len(calls):
        yield "two rows name one call"


def _wrong_repeats(billed: Counter[str], rows: list[dict[str, Any]], view: BatchView, kills: int) -> Iterator[str]:
    named = Counter(str(repeat["row"]) for repeat in view.repeats)
    for row, times in billed.items():
        if times > 1 + named[row]:
            yield f"row {row} was billed {times} times, {named[row]} repeats are named"
    standing = {call_id for row in rows for call_id in row["call_ids"]}
    for repeat in view.repeats:
        if repeat["call_id"] in standing:
            yield f"call {repeat['call_id']} is named as lost, and stands in the results"
    if len(view.repeats) > kills * MOST_ROWS:
        yield f"{len(view.repeats)} repeats after {kills} kills with {MOST_ROWS} rows under way"
    if view.repeats != view.record.repeats:
        yield "the repeats recorded at the end are not those that the ledger tells of"


def _tail(folder: Path) -> str:
    return " / ".join((folder / "workers.log").read_text().strip().splitlines()[-3:])


def plan(kills: int, seed: int) -> list[list[str]]:
    """The points of each session: first every durable write, in an order of chance, then any time."""
    chance = random.Random(seed)
    own = chance.sample(OWN_POINTS, len(OWN_POINTS))
    core = [point for point in POINTS if not point.startswith(SELDOM_REACHED)]
    every = [*own, *chance.sample(core, len(core))]
    # Half of a few kills are uniform in time; of many, all that the points leave.
    at_points = every[: max(kills // 2, min(len(every), kills - len(every)))]
    points = [*at_points, *[AT_RANDOM] * (kills - len(at_points))]
    chance.shuffle(points)
    parts = [points[start : start + KILLS_PER_SESSION] for start in range(0, kills, KILLS_PER_SESSION)]
    return [sorted(part, key=_stage) for part in parts]


def _stage(point: str) -> tuple[int, int]:
    step, _, moment = point.partition(":")
    order = MOMENTS.index(moment) if moment else 0
    if step in FIRST_STEPS:
        return FIRST_STEPS.index(step), order
    if step in LAST_STEPS:
        return 100 + LAST_STEPS.index(step), order
    return 50, 0


def run_kills(kills: int, seed: int = 1, state: str = "sqlite") -> list[Session]:
    """All sessions, one after the other. Kills that came too late are repeated at random until there are enough."""
    with open_batch_stores(state) as make:
        return _run_all(kills, seed, make)


def _run_all(kills: int, seed: int, make: Callable[[Path], BatchStores]) -> list[Session]:
    sessions: list[Session] = []
    waiting = plan(kills, seed)
    number = 0
    while waiting:
        number += 1
        with tempfile.TemporaryDirectory(prefix="promptory-kills-") as folder:
            stores = make(Path(folder))
            sessions.append(run_session(Path(folder), stores, waiting.pop(0), seed + number))
        died = sum(sum(session.killed.values()) for session in sessions)
        planned = died + sum(map(len, waiting))
        if not waiting and planned < kills and number < kills:
            waiting.append([AT_RANDOM] * min(KILLS_PER_SESSION, kills - planned))
        print(f"{died} of {kills} kills, {sum(len(one.problems) for one in sessions)} problems", file=sys.stderr)
    return sessions


def main() -> None:
    """Run and tell; exit status 1 where anything did not hold."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batch_kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--kills", type=int, default=8, help="workers to kill (default: 8)")
    parser.add_argument("--state", choices=STATES, default="sqlite", help="redis: with PostgreSQL (default: sqlite)")
    parser.add_argument("--seed", type=int, default=1, help="of everything that happens at random")
    options = parser.parse_args()
    sessions = run_kills(options.kills, options.seed, options.state)
    killed = sum((session.killed for session in sessions), Counter[str]())
    print(f"{sum(killed.values())} kills over {len(sessions)} batches of {ROWS} rows on {options.state}")
    for point, count in sorted(killed.items()):
        print(f"  {point}: {count}")
    print(f"billed twice: {sum(one.billed_twice for one in sessions)}, named: {sum(one.repeats for one in sessions)}")
    doubts = [doubt for one in sessions if one.books for doubt in one.books.doubts]
    print(f"ambiguous attempts: {len(doubts)}, {sum(doubt.billed is not None for doubt in doubts)} of them billed")
    problems = [problem for session in sessions for problem in session.problems]
    for problem in problems:
        print(f"PROBLEM {problem}")
    raise SystemExit(1 if problems else 0)


if __name__ == "__main__":
    main()
