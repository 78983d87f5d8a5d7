"""The button "Terminate" of a running Dagster: a run ends tidily, keeps what it has, goes on when launched again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from live.dagster_processes import ROOT, DagsterServer, dagster_running, wait_until
from loop.rich_production import enrich
from loop.scripted_model import learns
from loop.workplace import (
    KEY_VARIABLE,
    OPTIMIZE,
    TARIFFS,
    TASK,
    Example,
    Workplace,
    money_of_days,
    over_http,
    task_values,
)
from servers.openai_server import Fault, OpenAIServer

from resources.database.repositories import optimization_runs, prompt_versions
from resources.database.repositories.optimization_runs import OptimizationRunRecord

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS = 72
LATENCY_S = 0.3
HELD_S = 3.0
IN_TIME_S = 120.0
MANY_EVENTS = 100
IN_FLIGHT = 16  # rows an evaluation works on at once
UNCACHED: dict[str, Any] = {"cache": {"enabled": False}}
DAGSTER_YAML = "telemetry: {enabled: false}\nnux: {enabled: false}\n"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    slow = Fault(latency_s=LATENCY_S)
    with OpenAIServer(behaviour=learns, tariffs=TARIFFS, faults=lambda _index, _body: slow) as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    made = Workplace(tmp_path, settings=over_http(server, **UNCACHED))
    made.write_rows([Example(number) for number in range(ROWS)])
    (tmp_path / "catalog" / "tasks").mkdir()
    made.prepare()
    (made.home / "dagster").mkdir()
    (made.home / "dagster" / "dagster.yaml").write_text(DAGSTER_YAML)
    monkeypatch.setenv("DAGSTER_HOME", str(made.home / "dagster"))
    monkeypatch.setenv(KEY_VARIABLE, "test-key")
    return made


@pytest.fixture
def dagster(place: Workplace) -> Iterator[DagsterServer]:
    variables = {**place.variables(), "DAGSTER_HOME": str(place.home / "dagster"), "PYTHONPATH": str(ROOT)}
    with dagster_running(place.root, variables) as running:
        running.stop_sensors()
        place.write_task(task_values(model="openai/scripted"))  # only now: nothing has started by itself
        enrich(place)
        yield running


def newest(place: Workplace) -> OptimizationRunRecord:
    with place.database() as database, database.session(read_only=True) as session:
        return optimization_runs.list_optimization_runs(session, TASK)[0]


def check_best_so_far(place: Workplace, paused: OptimizationRunRecord) -> None:
    """A stored prompt version that hashes to its id, of the task that was searched for."""
    with place.database() as database, database.session(read_only=True) as session:
        best = prompt_versions.get(session, TASK, str(paused.result_prompt_version_id))
    assert best.prompt.id == best.id


def cut_off(dagster: DagsterServer, server: OpenAIServer, job: str, answers: int) -> list[str]:
    """Launch a job and press the button after so many answers; the warnings of its log."""
    enough = len(server.bodies) + answers
    with server.holding(enough, HELD_S):
        run_id = dagster.launch(job, TASK)
        under_way = wait_until(lambda: len(server.bodies) >= enough, IN_TIME_S, 0.05)
        assert under_way, dagster.log.read_text()[-4000:]
        dagster.terminate(run_id)
        assert dagster.end_of(run_id, IN_TIME_S) == "CANCELED"
    ended = len(server.bodies)
    assert server.open_requests == 0
    assert not wait_until(lambda: len(server.bodies) > ended, 3, 0.2), "nothing is asked for a run that has ended"
    events = dagster.events(run_id)
    assert len(events) < MANY_EVENTS
    return [one["message"] for one in events if one.get("level") == "WARNING"]


def test_what_is_terminated_keeps_its_best_and_goes_on(
    place: Workplace, server: OpenAIServer, dagster: DagsterServer
) -> None:
    warnings = cut_off(dagster, server, "optimize", 60)
    paused = newest(place)
    assert paused.status == "paused"
    assert str(paused.stop_reason).startswith("Interrupted. Reached ")
    assert "Run it again to go on." in str(paused.stop_reason)
    assert any(str(paused.stop_reason) in line for line in warnings), warnings
    check_best_so_far(place, paused)
    books = money_of_days(place)
    assert (books.reserved_nano_usd, books.ambiguous_nano_usd) == (0, 0)
    assert books.settled_nano_usd == server.invoice_nano_usd()

    run_id = dagster.launch("optimize", TASK)
    assert dagster.end_of(run_id, IN_TIME_S) == "SUCCESS", dagster.log.read_text()[-4000:]
    finished = newest(place)
    assert (finished.id, finished.status, finished.stop_reason) == (paused.id, "finished", None)
    assert max(Counter(server.bodies).values()) == 1, "what was under way was waited for and kept"
    with OpenAIServer(behaviour=learns, tariffs=TARIFFS) as other:
        whole = place.beside("undisturbed", over_http(other, **UNCACHED))
        result = whole.run(*OPTIMIZE).metadata["optimization_run"]["result_version_id"]
    assert finished.result_prompt_version_id == result

    for job in ("evaluate", "compress"):
        cut_off(dagster, server, job, 5)
        assert money_of_days(place).reserved_nano_usd == 0
    paused = newest(place)
    assert (paused.optimizer["kind"], paused.status) == ("compress", "paused")
    for job in ("evaluate", "compress"):
        assert dagster.end_of(dagster.launch(job, TASK), IN_TIME_S) == "SUCCESS", dagster.log.read_text()[-4000:]
    assert newest(place).status == "finished"
    repeated = sum(count - 1 for count in Counter(server.bodies).values())
    assert repeated <= 2 * IN_FLIGHT
