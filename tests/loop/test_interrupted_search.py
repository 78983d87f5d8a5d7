"""Ctrl-C, SIGTERM and the UI's terminate reach a search as a signal: it ends tidily and goes on when run again."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable

import pytest
from loop.scripted_model import learns
from loop.workplace import OPTIMIZE, TARIFFS, TASK, Workplace, money_of_days, over_http
from servers.openai_server import Fault, OpenAIServer

from resources.database.repositories import optimization_runs
from resources.database.repositories.optimization_runs import OptimizationRunRecord

MakeWorkplace = Callable[..., Workplace]
IN_TIME_S = 180
HELD_S = 2.0


def interrupt(
    place: Workplace, server: OpenAIServer, requests: int, number: signal.Signals, command: str = "optimize"
) -> tuple[int, str]:
    """Start a command, signal it after so many requests; its exit code and what it said."""
    program = [sys.executable, "-c", "from orchestration.cli import main; main()", command, TASK]
    process = subprocess.Popen(
        program, cwd=place.root, env=place.variables(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with server.holding(requests, HELD_S):
        deadline = time.monotonic() + IN_TIME_S
        while len(server.bodies) < requests:
            assert process.poll() is None, "it ended before it could be interrupted"
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(number)
        said = "".join(process.communicate(timeout=IN_TIME_S))
    return process.returncode, " ".join(said.split())


def stored(place: Workplace) -> OptimizationRunRecord:
    with place.database() as database, database.session(read_only=True) as session:
        return optimization_runs.list_optimization_runs(session, TASK)[0]


@pytest.mark.slow
def test_signals_pause_a_search(make_workplace: MakeWorkplace) -> None:
    slow = Fault(latency_s=0.02)
    uncached = {"cache": {"enabled": False}}
    with OpenAIServer(behaviour=learns, tariffs=TARIFFS, faults=lambda _index, _body: slow) as server:
        place = make_workplace(72, over_http(server, **uncached), model="openai/scripted")
        for share, number in ((40, signal.SIGINT), (75, signal.SIGTERM)):
            code, said = interrupt(place, server, share, number)
            paused = stored(place)
            assert (code, paused.status) == (1, "paused")
            assert "optimization_run was interrupted. Interrupted. Reached" in said
            assert "candidates, best so far" in said
            assert "Run it again to go on." in said
            assert paused.dev_score is not None
            assert paused.result_prompt_version_id
        result = place.run(*OPTIMIZE).metadata["optimization_run"]["result_version_id"]
        assert max(Counter(server.bodies).values()) == 1, "what was under way was waited for and kept"
        day = money_of_days(place)
        assert (day.settled_nano_usd, day.ambiguous_nano_usd) == (server.invoice_nano_usd(), 0)
    with OpenAIServer(behaviour=learns, tariffs=TARIFFS) as other:
        whole = place.beside("undisturbed", over_http(other, **uncached))
        assert whole.run(*OPTIMIZE).metadata["optimization_run"]["result_version_id"] == result
