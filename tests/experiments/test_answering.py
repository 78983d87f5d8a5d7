"""Answering through the execution core: the right variant, in the right scopes, on the ledger, once."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from experiments.answer_worker import CALLERS, settings
from experiments.laboratory import START, TASK, Laboratory
from servers.billing import Tariff
from servers.openai_server import Fault, OpenAIServer
from sqlalchemy import delete

from domain.errors import InputError, UnansweredError
from resources.database.repositories import interactions, ledger, spending
from resources.database.tables import InteractionRow
from resources.experiments.lifecycle import stop
from resources.experiments.live import LiveExperiments
from resources.experiments.recovery import GRACE, recover
from resources.llm import open_client

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("answer_worker.py")
REQUESTS = 60


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(behaviour=lambda _: "billing", tariffs={"scripted": Tariff("0.15", "0.60")}) as running:
        yield running


def state_of(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'state.db'}"


async def test_a_unit_is_answered_by_its_variant_in_the_scopes_of_the_experiment(
    http_lab: Laboratory, server: OpenAIServer, tmp_path: Path
) -> None:
    started = http_lab.start()
    async with open_client(settings(state_of(tmp_path), http_lab.url, server.base_url)) as llm:
        live = LiveExperiments(http_lab.database, llm)
        answers = [await live.answer("wording", f"u{n}", {"text": f"m{n}"}, request_id=f"r{n}") for n in range(12)]
        await llm.flush()
        budgets = {one.scope: one.settled_nano_usd for one in await llm.budgets()}

    assert {one.variant for one in answers} == {"control", "shorter"}
    for number, answer in enumerate(answers):
        assert answer.variant == started.dealt(f"u{number}")
        assert answer.prompt_version_id == started.prompt_version_id(answer.variant)
        # Version 2 has demonstrations: what was sent shows which one it was.
        assert (len(json.loads(server.bodies[number])["messages"]) > 2) == (answer.variant == "shorter")
    assert budgets["experiment:wording"] == budgets[f"task:{TASK}"] == server.invoice_nano_usd()
    with http_lab.database.session(read_only=True) as session:
        call = ledger.get_call(session, answers[3].call_id)
        recorded = interactions.find(session, "wording", "r3")
    assert (call.experiment_id, call.unit_id, call.row_id, call.purpose) == ("wording", "u3", "r3", "experiment")
    assert recorded is not None
    assert (recorded.call_id, recorded.cost_nano_usd, recorded.variant, recorded.answer) == (
        call.call_id,
        call.cost_nano_usd,
        answers[3].variant,
        "billing",
    )


async def test_a_task_is_answered_by_whatever_experiment_runs_or_by_production(
    http_lab: Laboratory, server: OpenAIServer, tmp_path: Path
) -> None:
    now = iter(range(0, 10_000, 10))
    async with open_client(settings(state_of(tmp_path), http_lab.url, server.base_url)) as llm:
        live = LiveExperiments(http_lab.database, llm, monotonic=lambda: float(next(now)))
        outside = await live.answer_task(TASK, "u1", {"text": "m1"}, request_id="r1")
        http_lab.start(name="half", layer={"end": 5000})
        inside = [await live.answer_task(TASK, f"u{n}", {"text": f"m{n}"}, request_id=f"r{n}") for n in range(12)]
        again = await live.answer_task(TASK, "u1", {"text": "m1"}, request_id="r1")
        owners = [live.experiment_of(TASK, f"u{n}") for n in range(12)]

    assert (outside.variant, outside.interaction_id) == (None, None)
    assert outside.prompt_version_id == http_lab.production()
    assert set(owners) == {"half", None}
    assert [one.variant is not None for one in inside] == [owner is not None for owner in owners]
    assert again.repeated == (owners[1] is not None)


async def test_a_repeated_request_is_answered_from_the_record(
    http_lab: Laboratory, server: OpenAIServer, tmp_path: Path
) -> None:
    http_lab.start()
    async with open_client(settings(state_of(tmp_path), http_lab.url, server.base_url)) as llm:
        live = LiveExperiments(http_lab.database, llm)
        first = await live.answer("wording", "u1", {"text": "hello"}, request_id="r1")
        again = await live.answer("wording", "u1", {"text": "hello"}, request_id="r1")
        with pytest.raises(InputError, match="made by another unit"):
            await live.answer("wording", "u2", {"text": "hello"}, request_id="r1")
        fresh = await live.answer("wording", "u1", {"text": "hello"})
    assert (again.repeated, again.text, again.call_id) == (True, first.text, first.call_id)
    assert not fresh.repeated
    assert len(server.bodies) == 2
    with http_lab.database.session(read_only=True) as session:
        assert interactions.count(session, "wording") == 2


async def test_whoever_is_outside_is_answered_by_production_and_not_recorded(
    http_lab: Laboratory, server: OpenAIServer, tmp_path: Path
) -> None:
    started = http_lab.start(layer={"name": "shop", "end": 5000})
    outside = next(unit for unit in (f"u{n}" for n in range(99)) if not started.takes(unit))
    async with open_client(settings(state_of(tmp_path), http_lab.url, server.base_url)) as llm:
        answer = await LiveExperiments(http_lab.database, llm).answer("wording", outside, {"text": "m"})
        stop(http_lab.database, "wording", kind="person", reason="x", stopped_by="a", now=START)
        stopped = await LiveExperiments(http_lab.database, llm).answer("wording", "u1", {"text": "other"})
        await llm.flush()
        scopes = {one.scope for one in await llm.budgets()}
    for one in (answer, stopped):
        assert (one.variant, one.interaction_id, one.prompt_version_id) == (None, None, http_lab.production())
    assert "experiment:wording" not in scopes
    with http_lab.database.session(read_only=True) as session:
        assert interactions.count(session, "wording") == 0


async def test_what_is_not_answered_is_not_recorded(http_lab: Laboratory, server: OpenAIServer, tmp_path: Path) -> None:
    http_lab.start()
    values = settings(state_of(tmp_path), http_lab.url, server.base_url)
    refused = values.model_copy(update={"budgets": {**values.budgets, "experiment:wording": 0}})
    async with open_client(refused) as llm:
        live = LiveExperiments(http_lab.database, llm)
        with pytest.raises(UnansweredError):
            await live.answer("wording", "u1", {"text": "hello"})
        with pytest.raises(InputError, match="takes text, not message"):
            await live.answer("wording", "u1", {"message": "hello"})
    assert server.bodies == []
    with http_lab.database.session(read_only=True) as session:
        assert interactions.count(session, "wording") == 0


async def test_an_answer_that_only_the_ledger_knows_is_recorded_from_it(
    http_lab: Laboratory, server: OpenAIServer, tmp_path: Path
) -> None:
    started = http_lab.start()
    async with open_client(settings(state_of(tmp_path), http_lab.url, server.base_url)) as llm:
        live = LiveExperiments(http_lab.database, llm)
        for number in range(6):
            await live.answer("wording", f"u{number}", {"text": f"m{number}"}, request_id=f"r{number}")
        await llm.flush()
    with http_lab.database.session() as session:
        before = [interactions.find(session, "wording", f"r{n}") for n in range(6)]
        session.execute(delete(InteractionRow).where(InteractionRow.id.in_(["r1", "r4"])))
    now = datetime.now(UTC)
    assert recover(http_lab.database, started, now) == 0  # a living process may be about to record them
    later = now + GRACE + timedelta(seconds=1)
    assert recover(http_lab.database, started, later) == 2
    assert recover(http_lab.database, started, later) == 0
    with http_lab.database.session(read_only=True) as session:
        after = [interactions.find(session, "wording", f"r{n}") for n in range(6)]
    for one, other in zip(before, after, strict=True):
        assert one is not None
        assert other is not None
        assert (one.variant, one.unit_id, one.call_id, one.cost_nano_usd) == (
            other.variant,
            other.unit_id,
            other.call_id,
            other.cost_nano_usd,
        )
    assert Counter(one.source for one in after if one) == {"live": 4, "ledger": 2}


@pytest.mark.parametrize(
    "kills", [1, pytest.param(8, marks=[pytest.mark.slow, pytest.mark.timeout(600)])], ids=["once", "again_and_again"]
)
def test_killed_while_answering_every_request_is_answered_once(
    small_http_lab: Laboratory, server: OpenAIServer, tmp_path: Path, kills: int
) -> None:
    http_lab, requests = small_http_lab, REQUESTS * kills
    started = http_lab.start()
    server.faults = lambda _index, _body: Fault(latency_s=0.05)  # long enough for a kill to come in time
    command = [sys.executable, str(WORKER), state_of(tmp_path), http_lab.url, server.base_url, str(requests)]
    chance, killed = random.Random(5), 0
    while True:
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}) as process:
            if killed < kills:
                _wait_until(process, server, len(server.bodies) + chance.randint(5, 40))
            if killed < kills and process.poll() is None:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
                continue
        assert process.returncode == 0
        break

    assert killed == kills
    assert requests <= len(server.bodies) <= requests + kills * CALLERS
    with http_lab.database.session(read_only=True) as session:
        recorded = [interactions.find(session, "wording", f"r{n}") for n in range(requests)]
        assert interactions.count(session, "wording") == requests
        calls = ledger.calls_of_experiment(session, "wording")
        charged = sum(one.spent_nano_usd + one.ambiguous_nano_usd for one in spending.spend(session, "model"))
    assert all(one and one.variant == started.dealt(one.unit_id) for one in recorded)
    assert {call.row_id for call in calls if call.status == "ok"} == {f"r{n}" for n in range(requests)}
    assert recover(http_lab.database, started, datetime.now(UTC) + timedelta(hours=1)) == 0
    assert server.invoice_nano_usd() <= charged


def _wait_until(process: subprocess.Popen[bytes], server: OpenAIServer, requests: int) -> None:
    deadline = time.monotonic() + 60
    while len(server.bodies) < requests and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
