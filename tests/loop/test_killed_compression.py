"""SIGKILL and Ctrl-C at random moments of a compression: run again, it ends the same and repeats what was in flight.

`PROMPTORY_KILLS` sets the number of kills.
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loop.rich_production import UNCACHED, enrich, make_rich
from loop.test_interrupted_search import interrupt, stored
from loop.test_kill_nine import LATENCY_S, Killer, check_money, slow_server
from loop.workplace import TASK, Workplace, over_http
from servers.openai_server import OpenAIServer

from resources.database.repositories import gate_decisions, optimization_runs, prompt_versions

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = int(os.environ.get("PROMPTORY_KILLS", "2"))
IN_FLIGHT = 16  # rows an evaluation works on at once
GATE = {"non_inferiority_margin": 0.15}


def end_of(place: Workplace) -> dict[str, Any]:
    """What compressions ended in; no time, no number of this home."""
    with place.database() as database, database.session(read_only=True) as session:
        runs = optimization_runs.list_optimization_runs(session, TASK)
        decisions = gate_decisions.list_gate_decisions(session, TASK)
        return {
            "runs": [(run.id, run.status, run.stop_reason, run.result_prompt_version_id) for run in runs],
            "candidates": [run.candidates for run in runs],
            "decisions": [(one.id, one.verdict, one.candidate_id, one.look) for one in decisions],
        }


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with slow_server() as running:
        yield running


@pytest.fixture
def whole(make_workplace: Callable[..., Workplace]) -> Iterator[tuple[Workplace, Counter[bytes]]]:
    """A compression that nothing disturbed, and the requests it takes."""
    with slow_server() as own:
        place = make_rich(make_workplace, own, gate=GATE)
        assert place.run("compression").metadata["compression"]["verdict"] == "promote"
        yield place, Counter(own.bodies)


def test_kills_change_nothing(whole: tuple[Workplace, Counter[bytes]], server: OpenAIServer) -> None:
    undisturbed, needed = whole
    place = enrich(undisturbed.beside("killed", over_http(server, **UNCACHED)))
    dice = random.Random(KILLS)
    killer = Killer(place, server, ("compression",))
    for part in range(KILLS):
        first, last = (needed.total() * edge // KILLS for edge in (part, part + 1))
        killer.kill_at_request(dice.randint(first + 1, last), dice.uniform(0, 2 * LATENCY_S))
    killer.finish()

    told = check_money(place, server, killer.killed)
    assert killer.killed >= KILLS // 2
    assert end_of(place) == end_of(undisturbed)
    assert not needed - Counter(server.bodies)
    assert told["repeated"] <= killer.killed * IN_FLIGHT


def test_signals_pause_it_with_the_best_so_far(whole: tuple[Workplace, Counter[bytes]], server: OpenAIServer) -> None:
    undisturbed, needed = whole
    place = enrich(undisturbed.beside("interrupted", over_http(server, **UNCACHED)))
    for requests, number in ((needed.total() // 3, signal.SIGINT), (needed.total() // 2, signal.SIGTERM)):
        code, said = interrupt(place, server, requests, number, "compress")
        paused = stored(place)
        assert (code, paused.status) == (1, "paused")
        assert "compression was interrupted. Interrupted. Tried " in said
        assert "Run it again to go on." in said
        with place.database() as database, database.session(read_only=True) as session:
            best = prompt_versions.get(session, TASK, str(paused.result_prompt_version_id))
            assert best.prompt.id == best.id
    place.run("compression")
    assert end_of(place) == end_of(undisturbed)
    assert (Counter(server.bodies) - needed).total() <= 2 * IN_FLIGHT
