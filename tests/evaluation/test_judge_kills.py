"""SIGKILL while answers are made and judged: run again, it repeats at most what was in flight."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from evaluation.desk import Desk, rows_of
from evaluation.judge_worker import CONCURRENCY, judged_task
from evaluation.scripted_judge import with_judge
from servers.openai_server import Fault, OpenAIServer

CHECKOUT = Path(__file__).parents[2]
ROWS = 100
LATENCY_S = 0.02


def start(desk: Desk, kind: str) -> subprocess.Popen[bytes]:
    program = [sys.executable, str(CHECKOUT / "tests" / "evaluation" / "judge_worker.py")]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join([str(CHECKOUT), str(CHECKOUT / "tests")])}
    return subprocess.Popen(
        [*program, str(desk.folder), str(desk.server.port), str(ROWS), kind], env=variables, stderr=subprocess.DEVNULL
    )


def kill_at_request(desk: Desk, kind: str, number: int) -> None:
    with start(desk, kind) as process:
        deadline = time.monotonic() + 60
        while len(desk.server.bodies) < number:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.wait()
    time.sleep(0.1)
    while desk.server.open_requests:  # what the dead process had put into its sockets still arrives
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        ("judge", 1),
        *(pytest.param("judge", seed, marks=pytest.mark.slow) for seed in (2, 3)),
        *(pytest.param("embedding_similarity", seed, marks=pytest.mark.slow) for seed in (1, 2, 3)),
    ],
)
def test_kills_repeat_at_most_what_was_in_flight(desk: Desk, server: OpenAIServer, kind: str, seed: int) -> None:
    server.behaviour = with_judge(lambda body: body["messages"][-1]["content"])
    server.faults = lambda _, __: Fault(latency_s=LATENCY_S)
    rows = sum(row.split == "dev" for row in rows_of(ROWS))
    expected_texts = 1 if kind == "embedding_similarity" else 0
    dice = random.Random(seed)
    kills = ((0.1, 0.9), (1.1, 1.8))  # one while the answers are made, one while they are judged
    for low, high in kills:
        kill_at_request(desk, kind, int(rows * dice.uniform(low, high)))
    done = desk.evaluate(judged_task(kind), rows_of(ROWS))
    repeated = Counter(server.bodies).total() - len(set(server.bodies))

    assert len(set(server.bodies)) == 2 * rows + expected_texts == 2 * len(done.examples) + expected_texts
    assert repeated <= len(kills) * CONCURRENCY
    assert len([body for body in server.requests if body["model"] != "scripted"]) >= rows
    assert {one.score for one in done.examples} != {None}
    asked = len(server.bodies)
    desk.evaluate(judged_task(kind), rows_of(ROWS))
    assert len(server.bodies) == asked
    with desk.database.engine.connect() as connection:
        lost = connection.exec_driver_sql("SELECT count(*) FROM attempts WHERE charge = 'ambiguous'").scalar_one()
    assert lost <= len(kills) * CONCURRENCY  # what was settled and not yet kept may repeat, too: the cache is off
