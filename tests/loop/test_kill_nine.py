"""SIGKILL at any moment of the loop: run again, it ends the same and pays for nothing twice but what was in flight."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from loop.scripted_model import learns
from loop.workplace import CHECKOUT, LOOP, OPTIMIZE, TARIFFS, TASK, Workplace, money_of_days, over_http
from servers.openai_server import Fault, OpenAIServer

from resources.database.repositories import aliases, dataset_versions, gate_decisions, optimization_runs
from resources.evaluation.promote import PRODUCTION
from resources.llm import open_client_sync

# Many processes one after another: minutes on a busy machine.
pytestmark = pytest.mark.timeout(900)

ROWS = 72
LATENCY_S = 0.02
HELD_S = 1.0
THREADS = 4  # rows an optimizer works on at once, by default
ROWS_AT_ONCE = 16  # that an evaluation works on, by default
SECONDS_FOR_ALL = 120
MakeWorkplace = Callable[..., Workplace]


@dataclass
class Killer:
    """Starts the loop as a process group of its own and kills it."""

    place: Workplace
    server: OpenAIServer | None = None
    assets: tuple[str, ...] = LOOP
    killed: int = 0

    def start(self) -> subprocess.Popen[bytes]:
        program = [sys.executable, str(CHECKOUT / "tests" / "loop" / "loop_worker.py"), TASK, *self.assets]
        variables = {**self.place.variables(), "PYTHONPATH": str(CHECKOUT)}
        return subprocess.Popen(
            program, cwd=self.place.root, env=variables, start_new_session=True, stderr=subprocess.DEVNULL
        )

    def kill_when(self, is_time: Callable[[], bool]) -> bool:
        """Run until `is_time`, then kill; False where the loop ended before."""
        with self.start() as process:
            deadline = time.monotonic() + SECONDS_FOR_ALL
            while not is_time():
                if process.poll() is not None:
                    assert process.returncode == 0
                    return False
                assert time.monotonic() < deadline
                time.sleep(0.002)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.killed += 1
        if self.server is not None:
            _let_arrive(self.server)
        return True

    def kill_after(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        return self.kill_when(lambda: time.monotonic() >= end)

    def kill_at_request(self, number: int, delay_s: float) -> bool:
        """Kill `delay_s` after the server has received its request `number` in all."""
        server, due = self.server, float("inf")
        assert server is not None

        def is_time() -> bool:
            nonlocal due
            if due == float("inf") and len(server.bodies) >= number:
                due = time.monotonic() + delay_s
            return time.monotonic() >= due

        return self.kill_when(is_time)

    def finish(self) -> float:
        """Run to the end; the seconds it took."""
        started = time.monotonic()
        with self.start() as process:
            assert process.wait(SECONDS_FOR_ALL) == 0
        return time.monotonic() - started


@dataclass(frozen=True)
class Untouched:
    """A loop that nothing disturbed: how it ended, what it took."""

    place: Workplace
    ended: dict[str, Any]
    requests: int
    seconds: float


def _let_arrive(server: OpenAIServer) -> None:
    """What the dead process had put into its sockets still reaches the provider."""
    time.sleep(0.1)
    while server.open_requests:
        time.sleep(0.01)


def end_of(place: Workplace) -> dict[str, Any]:
    """What the loop ended in; no time, no number of this home."""
    with place.database() as database, database.session(read_only=True) as session:
        dataset = dataset_versions.latest(session, TASK)
        decisions = gate_decisions.list_gate_decisions(session, TASK)
        runs = optimization_runs.list_optimization_runs(session, TASK)
        assert dataset is not None
        return {
            "dataset": dataset.id,
            "runs": [(run.id, run.status, run.result_prompt_version_id, run.dev_score) for run in runs],
            "decisions": [(one.id, one.verdict, one.candidate_id, one.look) for one in decisions],
            "production": aliases.get(session, TASK, PRODUCTION).prompt_version_id,
        }


def booked(place: Workplace) -> list[Any]:
    """Every attempt of the ledger, once what killed processes left open is booked."""
    with open_client_sync(place.environment.core_settings()) as client:
        client.flush()
    with place.database() as database, database.engine.connect() as connection:
        return list(
            connection.exec_driver_sql("SELECT provider_request_id, charge, cost_nano_usd, outcome FROM attempts").all()
        )


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with slow_server() as running:
        yield running


def slow_server() -> OpenAIServer:
    """A provider slow enough that calls are in flight when a kill comes."""
    slow = Fault(latency_s=LATENCY_S)
    return OpenAIServer(behaviour=learns, tariffs=TARIFFS, faults=lambda _index, _body: slow)


def check_money(place: Workplace, server: OpenAIServer, kills: int) -> dict[str, int]:
    """The ledger line by line against the invoice; what was repeated, and what was in flight."""
    attempts = booked(place)
    lost = [one for one in attempts if one.charge == "ambiguous"]
    certain = {one.provider_request_id: one.cost_nano_usd for one in attempts if one.charge == "settled"}
    billed = {line.request_id: line.nano_usd for line in server.invoice}
    unclaimed = {name: nano for name, nano in billed.items() if name not in certain}
    repeated = sum(count - 1 for count in Counter(server.bodies).values())

    assert len(attempts) == len(lost) + len(certain)
    assert {one.outcome for one in lost} <= {"lost"}
    assert all(billed[name] == nano for name, nano in certain.items())
    assert len(unclaimed) <= len(lost)
    assert sum(certain.values()) <= server.invoice_nano_usd()
    assert server.invoice_nano_usd() <= sum(certain.values()) + sum(one.cost_nano_usd for one in lost)
    # Besides what was lost: answers that were paid for and neither cached nor written yet. Nothing is begun in the
    # place of one of these, so they are at most as many as are worked on at once.
    assert repeated <= len(lost) + kills * ROWS_AT_ONCE
    state = money_of_days(place)
    assert state.settled_nano_usd == sum(certain.values())
    assert state.ambiguous_nano_usd == sum(one.cost_nano_usd for one in lost)
    assert state.reserved_nano_usd == 0
    assert kills or not lost
    return {"kills": kills, "requests": len(server.bodies), "lost": len(lost), "repeated": repeated}


@pytest.fixture
def untouched(make_workplace: MakeWorkplace) -> Iterator[Untouched]:
    """The loop in a home where nothing is killed, against a provider of its own."""
    with slow_server() as own:
        place = make_workplace(ROWS, over_http(own), model="openai/scripted")
        started = time.monotonic()
        Killer(place).finish()
        seconds = time.monotonic() - started
        assert check_money(place, own, 0)["repeated"] == 0
        yield Untouched(place, end_of(place), len(own.bodies), seconds)


def test_a_killed_search_goes_on_from_its_journal(make_workplace: MakeWorkplace, server: OpenAIServer) -> None:
    """Without the response cache, which could hide that an answer was not stored."""
    without_cache: dict[str, Any] = {"cache": {"enabled": False}}
    with slow_server() as own:
        place = make_workplace(ROWS, over_http(own, **without_cache), model="openai/scripted")
        ended = place.run(*OPTIMIZE).metadata["optimization_run"]["result_version_id"]
        needed = Counter(own.bodies)
    killer = Killer(place.beside("killed", over_http(server, **without_cache)), server, OPTIMIZE)
    total = needed.total()
    for number in (total // 2, total * 9 // 10):
        with server.holding(number, HELD_S):
            assert killer.kill_at_request(number, LATENCY_S / 2)
    result = killer.place.run(*OPTIMIZE).metadata["optimization_run"]["result_version_id"]

    repeated = (Counter(server.bodies) - needed).total()
    assert result == ended
    assert repeated <= killer.killed * THREADS
    assert not needed - Counter(server.bodies)


@pytest.mark.slow
def test_ten_kills_anywhere_change_nothing(untouched: Untouched, server: OpenAIServer) -> None:
    """Half of them at a request, half of them uniformly in time, imports and writes included."""
    dice = random.Random(1)
    killer = Killer(untouched.place.beside("killed", over_http(server)), server)
    for number in range(10):
        if number % 2:
            killer.kill_after(dice.uniform(0, untouched.seconds))
        else:
            killer.kill_at_request(dice.randint(1, untouched.requests), dice.uniform(0, 2 * LATENCY_S))
    killer.finish()

    told = check_money(killer.place, server, killer.killed)
    sys.stderr.write(f"{told}\n")
    assert end_of(killer.place) == untouched.ended


@pytest.mark.slow
def test_six_kills_of_the_offline_loop_change_nothing(make_workplace: MakeWorkplace) -> None:
    """The in-process model answers at once: these kills fall on imports, files and transactions."""
    whole = make_workplace(ROWS)
    seconds = Killer(whole).finish()
    dice = random.Random(4)
    killer = Killer(whole.beside("killed"))
    for _ in range(6):
        killer.kill_after(dice.uniform(seconds / 4, seconds))
    killer.finish()

    assert end_of(killer.place) == end_of(whole)
    assert killer.killed > 0
    assert {one.charge for one in booked(killer.place)} <= {"settled", "ambiguous"}
