"""Workers of provider batches are killed before, within and after every durable write and request, and at any time.

Afterwards no row is lost, none is answered twice that nobody names, no job exists twice, the ledger is the invoice once
the ambiguous attempts are set against it, and the budgets hold nothing. PROMPTORY_KILLS scales it: 200 is full scale,
half of them for each protocol, on files and again on servers.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pytest
from batches.conftest import label_of, task_of, write_csv
from batches.provider_halls import VENDORS, Hall, Server, Vendor
from batches.provider_worker import Plan
from servers.valkey import shared_valkey
from sqlalchemy import select

from resources.batch_inference.steering import look_at
from resources.database import schema
from resources.database.repositories import provider_jobs
from resources.database.session import open_database
from resources.database.tables import AttemptRow
from resources.llm import open_client

ROWS = 44
CHUNK_ROWS = 12
KILLS = max(2, int(os.environ.get("PROMPTORY_KILLS", "4")) // len(VENDORS))
KILLS_PER_BATCH = 2
# Where a job may come to exist twice.
DANGEROUS = ("within create", "after create", "before commit after create")
# What every job of either protocol comes by.
STEPS = ("upload", "create", "statuses", "results", "discard")
MOMENTS = {f"{when} {step}" for when in ("before", "within", "after") for step in STEPS}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 + 20 * KILLS)]


class Workers:
    """The forking process, seen from here."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._stdin: IO[str] = process.stdin
        self._stdout: IO[str] = process.stdout

    def run(self, plan: Plan) -> int:
        """The worker's exit status."""
        print(json.dumps(asdict(plan)), file=self._stdin, flush=True)
        return json.loads(self._stdout.readline())["status"]


@pytest.fixture(scope="module", params=VENDORS)
def vendor(request: pytest.FixtureRequest) -> Vendor:
    return VENDORS[request.param]


@pytest.fixture(scope="module")
def workers(vendor: Vendor) -> Iterator[Workers]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"}
    command = [sys.executable, "-m", "batches.provider_worker", vendor.endpoint]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Workers(process)
        assert process.stdin is not None
        process.stdin.close()


Stores = Callable[[Path], tuple[str, str]]


@pytest.fixture(params=["sqlite", "servers"])
def stores(request: pytest.FixtureRequest, upgraded_file: Path) -> Stores:
    """Makes an upgraded database and an empty state store: files, or PostgreSQL and Redis."""
    if request.param == "sqlite":

        def files(folder: Path) -> tuple[str, str]:
            shutil.copyfile(upgraded_file, folder / "promptory.db")
            return f"sqlite:///{folder / 'promptory.db'}", f"sqlite:///{folder / 'state.db'}"

        return files
    server = request.getfixturevalue("postgres_server")

    def servers(_folder: Path) -> tuple[str, str]:
        url = server.url(server.create())
        database = open_database(url)
        schema.upgrade(database)
        database.dispose()
        return url, shared_valkey().url()

    return servers


@contextmanager
def hall_at(folder: Path, stores: Stores, vendor: Vendor, delay_s: float) -> Iterator[tuple[Hall, Server]]:
    """A task in production, its provider, and nothing answered yet."""
    folder.mkdir(parents=True, exist_ok=True)
    url, state = stores(folder)
    database = open_database(url)
    with vendor.serve(delay_s) as server:
        made = Hall(folder, database, server, task_of(vendor.model), url)  # type: ignore[arg-type]
        made.vendor, made.state = vendor, state
        made.promote()
        yield made, server
    database.dispose()


def batch_of(hall: Hall) -> str:
    """A new batch; its id."""
    options = {"how": "provider", "rest": hall.vendor.rest, "chunk_rows": CHUNK_ROWS}
    return hall.add(write_csv(hall.folder / "in.csv", range(ROWS)), **options).record.id


def moments_of_a_run(folder: Path, stores: Stores, vendor: Vendor, workers: Workers) -> tuple[dict[str, int], float]:
    """What is durable and what is sent in an undisturbed run, with how often; its seconds."""
    with hall_at(folder, stores, vendor, 0.0) as (hall, _):
        batch = batch_of(hall)
        began = time.monotonic()
        assert workers.run(Plan(str(folder), batch, hall.plain_settings())) == 0, (folder / "worker.log").read_text()
        return json.loads((folder / "worker.json").read_text())["moments"], time.monotonic() - began


def test_killed_anywhere_nothing_is_lost_or_paid_twice(
    tmp_path: Path,
    stores: Stores,
    vendor: Vendor,
    workers: Workers,
):
    moments, longest_s = moments_of_a_run(tmp_path / "first", stores, vendor, workers)
    assert moments.keys() >= MOMENTS
    chance = random.Random(KILLS)
    deaths = [*_at_moments(moments, chance)]
    deaths += [{"die_after_s": chance.uniform(0.05, longest_s)} for _ in range(KILLS - len(deaths))]
    first, *others = deaths  # it surely comes: one at any time may come too late, and leave nothing to die at
    chance.shuffle(others)
    deaths = [first, *others]
    died = 0
    for number in range(0, len(deaths), KILLS_PER_BATCH):
        folder = tmp_path / f"batch-{number}"
        with hall_at(folder, stores, vendor, 0.01) as (hall, server):
            died += _killed_batch(hall, server, workers, deaths[number : number + KILLS_PER_BATCH])
        shutil.rmtree(folder)
    logging.getLogger(__name__).info("%d of %d kills came in time, at %d moments or any", died, KILLS, len(moments))
    # A worker that goes on where another died has fewer moments left to die at.
    assert died >= max(1, KILLS // 3), f"only {died} of {KILLS} kills came in time"


def _at_moments(moments: dict[str, int], chance: random.Random) -> Iterator[dict[str, Any]]:
    """Half of the kills, of enough one at every moment: first where a job may be made twice."""
    names = sorted(moments)
    chance.shuffle(names)
    names.sort(key=lambda name: name not in DANGEROUS)
    for place in range(max(KILLS // 2, min(len(names), KILLS * 3 // 4))):
        name = names[place % len(names)]
        yield {"die_at": name, "die_nth": 1 + (place // len(names)) % moments[name]}


def _killed_batch(hall: Hall, server: Server, workers: Workers, deaths: list[dict[str, Any]]) -> int:
    batch, settings = batch_of(hall), hall.plain_settings()
    died = sum(workers.run(Plan(str(hall.folder), batch, settings, **death)) == -9 for death in deaths)
    log = hall.folder / "worker.log"
    assert workers.run(Plan(str(hall.folder), batch, settings)) == 0, log.read_text()
    context = f"{deaths}: {log.read_text()[-2000:]}"
    _check_rows(hall, batch, context)
    _check_jobs(hall, server, batch, context)
    _check_money(hall, server, batch, context)
    before = len(server.invoice), len(server.log)
    assert workers.run(Plan(str(hall.folder), batch, settings)) == 0
    assert (len(server.invoice), len(server.log)) == before, "running a finished batch again costs nothing"
    return died


def _check_rows(hall: Hall, batch_id: str, context: str) -> None:
    rows = hall.results(batch_id)
    assert [row["row"] for row in rows] == list(range(1, ROWS + 1)), context
    assert [(row["status"], row["value"]) for row in rows] == [("ok", label_of(one)) for one in range(ROWS)], context


def _check_jobs(hall: Hall, server: Server, batch_id: str, context: str) -> None:
    asked = Counter(hall.vendor.asked(server))
    assert max(asked.values()) == 1, f"a job was created twice: {context}"
    with hall.database.session(read_only=True) as session:
        jobs = provider_jobs.of_batch(session, batch_id)
    assert {job.state for job in jobs} == {"closed"}, context
    assert {job.provider_id for job in jobs} == set(server.jobs), context


def _check_money(hall: Hall, server: Server, batch_id: str, context: str) -> None:
    scopes = asyncio.run(_scopes(hall))
    with hall.database.session(read_only=True) as session:
        attempts = list(session.scalars(select(AttemptRow)))
    ids = {attempt.provider_request_id for attempt in attempts}
    doubtful = [attempt for attempt in attempts if attempt.charge == "ambiguous"]
    certain = {one.provider_request_id: one.cost_nano_usd for one in attempts if one.charge == "settled"}
    billed = {hall.vendor.billed_as(line): line.nano_usd for line in server.invoice}
    assert {one: billed.get(str(one)) for one in certain} == certain, context
    unmatched = billed.keys() - certain.keys()
    assert len(unmatched) <= len(doubtful), f"billed and not in the ledger: {unmatched - ids}; {context}"
    view = look_at(hall.database, hall.root, batch_id, datetime.now(UTC))
    named = Counter(repeat["row"] - 1 for repeat in view.repeats)
    times = Counter(hall.vendor.tried(server))
    assert all(times[row] <= 1 + named[row] for row in times), context
    total = sum(attempt.cost_nano_usd for attempt in attempts)
    scope = scopes["task:crates"]
    assert scope.reserved_nano_usd == 0, context
    assert scope.settled_nano_usd + scope.ambiguous_nano_usd == total, context
    assert scope.ambiguous_nano_usd == sum(attempt.cost_nano_usd for attempt in doubtful), context


async def _scopes(hall: Hall) -> dict[str, Any]:
    """The budgets once every killed worker counts as dead, which Redis cannot know before its lease has run out."""
    async with open_client(hall.settings(), clock=lambda: time.time() + 60, monotonic=time.monotonic) as client:
        await client.flush()
        return {scope.scope: scope for scope in await client.budgets()}
