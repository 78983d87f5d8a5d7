"""SIGKILL at random moments of a run over the core: run again, it ends in the same prompt version.

The provider's answers depend on the request alone, so that a run can be compared with one that was not killed. The
response cache is off: it could hide that an answer was not journalled. `PROMPTORY_KILLS` sets the kills of long ones.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dspy_runtime.scripted import SEARCHES, THREADS
from dspy_runtime.test_over_http import stored_run, with_writer
from dspy_runtime.workbench import CHOICE_LABEL, TARIFFS, Workbench, answers, command
from servers.openai_server import Fault, OpenAIServer

from domain.optimization import GepaSpec, OptimizerSpec
from domain.pricing import nano_to_usd

ROOT = Path(__file__).parents[2]
LATENCY_S = 0.02
KILLS = int(os.environ.get("PROMPTORY_KILLS", "2"))
SECONDS_FOR_ONE = 100


def slow_server() -> OpenAIServer:
    """Slow enough that calls are in flight when a kill comes."""
    slow = Fault(latency_s=LATENCY_S)
    return OpenAIServer(behaviour=answers, tariffs=TARIFFS, faults=lambda _index, _body: slow)


def kill_at_request(bench: Workbench, server: OpenAIServer, number: int, delay_s: float) -> bool:
    """Run (on) in a process that is killed `delay_s` after the server's request `number`; False if it ended before."""
    environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "HOME": str(bench.folder), "PATH": ""}
    process = subprocess.Popen(command(bench), cwd=ROOT, env=environment)
    deadline = time.monotonic() + SECONDS_FOR_ONE
    while len(server.bodies) < number:
        if process.poll() is not None:
            assert process.returncode == 0
            return False
        assert time.monotonic() < deadline
        time.sleep(0.002)
    time.sleep(delay_s)
    process.kill()
    process.wait()
    while server.open_requests:
        time.sleep(0.01)
    return True


def check_kills_change_nothing(
    spec: OptimizerSpec, folder: Path, kills: int, seed: int, metric: dict[str, Any] = CHOICE_LABEL
) -> None:
    with OpenAIServer(behaviour=answers, tariffs=TARIFFS) as server:
        # What is in flight at a kill keeps its reserve. Many kills must leave room for that below twice the cost.
        rows = 60 * max(1, kills // 2)
        whole = Workbench(
            folder / "whole", server.base_url, with_writer(spec), cache=False, rows=rows, metric=metric
        ).set_up()
        cap = f"{2 * nano_to_usd(whole_cost(whole, server)):f}"
        needed = Counter(server.bodies)
        whole = replace(whole, folder=folder / "capped", cap=cap).set_up()
        undisturbed = whole.run()
    dice = random.Random(seed)
    with slow_server() as server:
        bench = replace(whole, folder=folder / "killed", url=server.base_url).set_up()
        killed = 0
        for part in range(kills):
            number = dice.randint(needed.total() * part // kills + 1, needed.total() * (part + 1) // kills)
            killed += kill_at_request(bench, server, number, dice.uniform(0, 2 * LATENCY_S))
        resumed = bench.run()
        repeated = Counter(server.bodies) - needed
        assert killed >= kills // 2
        assert not needed - Counter(server.bodies)
        assert repeated.total() <= killed * THREADS
        assert server.invoice_nano_usd() <= 2 * cost_of(needed, server)
    assert resumed.id == undisturbed.id
    assert (resumed.status, resumed.stop_reason) == ("finished", None)
    assert resumed.result_prompt_version_id == undisturbed.result_prompt_version_id
    assert resumed.candidates == undisturbed.candidates
    assert resumed.reference_prompt_version_ids == undisturbed.reference_prompt_version_ids
    assert stored_run(bench) == resumed


def whole_cost(bench: Workbench, server: OpenAIServer) -> int:
    bench.run()
    return server.invoice_nano_usd()


def cost_of(bodies: Counter[bytes], server: OpenAIServer) -> int:
    """What the provider bills for these requests."""
    prices = {body: line.nano_usd for body, line in zip(server.bodies, server.invoice, strict=True)}
    return sum(prices[body] * count for body, count in bodies.items())


def test_a_kill_changes_nothing(tmp_path: Path) -> None:
    check_kills_change_nothing(GepaSpec(max_rows=90, threads=THREADS), tmp_path, kills=1, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("spec", SEARCHES, ids=lambda spec: spec.kind)
def test_kills_change_nothing(spec: OptimizerSpec, tmp_path: Path) -> None:
    check_kills_change_nothing(spec, tmp_path, kills=KILLS, seed=KILLS)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_kills_change_nothing_for_two_steps(tmp_path: Path) -> None:
    """Two predictors: GEPA merges, and strings are hashed differently in every process."""
    with OpenAIServer(behaviour=answers, tariffs=TARIFFS) as server:
        whole = Workbench(tmp_path / "whole", server.base_url, GepaSpec(max_rows=150), steps=2, cache=False).set_up()
        undisturbed = whole.run()
        needed = len(server.bodies)
    with slow_server() as server:
        bench = replace(whole, folder=tmp_path / "killed", url=server.base_url).set_up()
        killed = sum(kill_at_request(bench, server, needed * part // 4, LATENCY_S) for part in (1, 2, 3))
        resumed = bench.run()
        assert killed == 3
        assert len(server.bodies) <= needed + 3 * THREADS
    assert resumed.candidates == undisturbed.candidates
