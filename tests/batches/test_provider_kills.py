"""Workers of provider batches are killed before and after every durable write and every request, and at any time.

Afterwards no row is lost, none is answered twice that nobody names, no job exists twice, the ledger is the invoice once
the ambiguous attempts are set against it, and the budgets hold nothing. PROMPTORY_KILLS scales it: 200 is full scale.
"""

from __future__ import annotations

import asyncio
import json
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
from batches.conftest import TARIFFS, Floor, label_of, number_in, task_of, write_csv
from batches.provider_worker import Plan
from servers.openai_batch_server import JobPlan, OpenAIBatchServer
from servers.valkey import shared_valkey
from sqlalchemy import select

from resources.batch_inference.steering import look_at
from resources.database import schema
from resources.database.repositories import provider_jobs
from resources.database.session import open_database
from resources.database.tables import AttemptRow
from resources.llm import CoreSettings, open_client

ROWS = 44
CHUNK_ROWS = 12
KILLS = int(os.environ.get("PROMPTORY_KILLS", "4"))
KILLS_PER_BATCH = 2
DANGEROUS = ("after POST /batches", "before commit after POST /batches")
PLANS = (
    JobPlan(),
    JobPlan(end="expired", answered=7),
    JobPlan(statuses={1: 400, 3: 500}),
    JobPlan(left_out=frozenset({2}), no_usage=frozenset({4})),
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120 + 20 * KILLS)]


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


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}:{root / 'tests'}"}
    command = [sys.executable, "-m", "batches.provider_worker"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield Workers(process)
        assert process.stdin is not None
        process.stdin.close()


class Hall(Floor):
    """A floor on stores of its own."""

    state: str = ""

    def settings(self, **more: Any) -> CoreSettings:
        budgets = {"day": "1", "task:crates": "1"}
        return super().settings(**{"state": self.state, "lease_s": 2.0, "budgets": budgets, **more})


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
def hall_at(folder: Path, stores: Stores, delay_s: float) -> Iterator[tuple[Hall, OpenAIBatchServer]]:
    """A task in production, its provider, and nothing answered yet."""
    folder.mkdir(parents=True, exist_ok=True)
    url, state = stores(folder)
    database = open_database(url)
    with OpenAIBatchServer(
        lambda body: label_of(number_in(body)), TARIFFS, plans=lambda number: PLANS[number % len(PLANS)]
    ) as server:
        server.delay_s = delay_s
        made = Hall(folder, database, server, task_of(), url)
        made.state = state
        made.promote()
        yield made, server
    database.dispose()


def settings_of(hall: Hall) -> dict[str, Any]:
    plain = hall.settings().model_dump(mode="json")
    plain["endpoints"] = {"openai": hall.server.endpoint}
    return plain


def moments_of_a_run(folder: Path, stores: Stores, workers: Workers) -> tuple[dict[str, int], float]:
    """What is durable and what is sent in an undisturbed run, each before and after, with how often; its seconds."""
    with hall_at(folder, stores, 0.0) as (hall, _):
        batch = hall.add(write_csv(folder / "in.csv", range(ROWS)), how="provider", chunk_rows=CHUNK_ROWS).record
        began = time.monotonic()
        assert workers.run(Plan(str(folder), batch.id, settings_of(hall))) == 0, (folder / "worker.log").read_text()
        return json.loads((folder / "worker.json").read_text())["moments"], time.monotonic() - began


def test_killed_anywhere_nothing_is_lost_or_paid_twice(
    tmp_path: Path, stores: Stores, workers: Workers, record_property: Callable[[str, object], None]
):
    moments, longest_s = moments_of_a_run(tmp_path / "first", stores, workers)
    chance = random.Random(KILLS)
    deaths = [*_at_moments(moments, chance)]
    deaths += [{"die_after_s": chance.uniform(0.05, longest_s)} for _ in range(KILLS - len(deaths))]
    chance.shuffle(deaths)
    died = 0
    for number in range(0, len(deaths), KILLS_PER_BATCH):
        folder = tmp_path / f"batch-{number}"
        with hall_at(folder, stores, 0.01) as (hall, server):
            died += _killed_batch(hall, server, workers, deaths[number : number + KILLS_PER_BATCH])
        shutil.rmtree(folder)
    record_property("killed", died)
    record_property("moments", len(moments))
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


def _killed_batch(hall: Hall, server: OpenAIBatchServer, workers: Workers, deaths: list[dict[str, Any]]) -> int:
    batch = hall.add(write_csv(hall.folder / "in.csv", range(ROWS)), how="provider", chunk_rows=CHUNK_ROWS).record
    settings = settings_of(hall)
    died = sum(workers.run(Plan(str(hall.folder), batch.id, settings, **death)) == -9 for death in deaths)
    log = hall.folder / "worker.log"
    assert workers.run(Plan(str(hall.folder), batch.id, settings)) == 0, log.read_text()
    context = f"{deaths}: {log.read_text()[-2000:]}"
    _check_rows(hall, batch.id, context)
    _check_jobs(hall, server, batch.id, context)
    _check_money(hall, server, batch.id, context)
    before = len(server.invoice), len(server.log)
    assert workers.run(Plan(str(hall.folder), batch.id, settings)) == 0
    assert (len(server.invoice), len(server.log)) == before, "running a finished batch again costs nothing"
    return died


def _check_rows(hall: Hall, batch_id: str, context: str) -> None:
    rows = hall.results(batch_id)
    assert [row["row"] for row in rows] == list(range(1, ROWS + 1)), context
    assert [(row["status"], row["value"]) for row in rows] == [("ok", label_of(one)) for one in range(ROWS)], context


def _check_jobs(hall: Hall, server: OpenAIBatchServer, batch_id: str, context: str) -> None:
    asked = Counter(line["custom_id"] for job in server.jobs.values() for line in job.lines)
    assert max(asked.values()) == 1, f"a job was created twice: {context}"
    with hall.database.session(read_only=True) as session:
        jobs = provider_jobs.of_batch(session, batch_id)
    assert {job.state for job in jobs} == {"closed"}, context
    assert {job.provider_id for job in jobs} == set(server.jobs), context


def _check_money(hall: Hall, server: OpenAIBatchServer, batch_id: str, context: str) -> None:
    scopes = asyncio.run(_scopes(hall))
    with hall.database.session(read_only=True) as session:
        attempts = list(session.scalars(select(AttemptRow)))
    ids = {attempt.provider_request_id for attempt in attempts}
    doubtful = [attempt for attempt in attempts if attempt.charge == "ambiguous"]
    certain = {one.provider_request_id: one.cost_nano_usd for one in attempts if one.charge == "settled"}
    billed = {_answer_id(line): line.nano_usd for line in server.invoice}
    assert {one: billed.get(str(one)) for one in certain} == certain, context
    unmatched = billed.keys() - certain.keys()
    assert len(unmatched) <= len(doubtful), f"billed and not in the ledger: {unmatched - ids}; {context}"
    view = look_at(hall.database, hall.root, batch_id, datetime.now(UTC))
    named = Counter(str(repeat["row"] - 1) for repeat in view.repeats)
    times = Counter(str(number_in(body)) for body in [*server.requests, *_tried_in_jobs(server)])
    assert all(times[row] <= 1 + named[row] for row in times), context
    total = sum(attempt.cost_nano_usd for attempt in attempts)
    for name in ("task:crates",):
        scope = scopes[name]
        assert scope.reserved_nano_usd == 0, context
        assert scope.settled_nano_usd + scope.ambiguous_nano_usd == total, context
        assert scope.ambiguous_nano_usd == sum(attempt.cost_nano_usd for attempt in doubtful), context


def _answer_id(line: Any) -> str:
    return f"chatcmpl-batch-{line.index}" if line.request_id.startswith("batch-") else line.request_id


def _tried_in_jobs(server: OpenAIBatchServer) -> list[dict[str, Any]]:
    """Bodies that were answered in a job: those on the invoice."""
    bodies = {line["custom_id"]: line["body"] for job in server.jobs.values() for line in job.lines}
    return [
        bodies[line.request_id.removeprefix("batch-")]
        for line in server.invoice
        if line.request_id.startswith("batch-")
    ]


async def _scopes(hall: Hall) -> dict[str, Any]:
    """The budgets once every killed worker counts as dead, which Redis cannot know before its lease has run out."""
    async with open_client(hall.settings(), clock=lambda: time.time() + 60, monotonic=time.monotonic) as client:
        await client.flush()
        return {scope.scope: scope for scope in await client.budgets()}
