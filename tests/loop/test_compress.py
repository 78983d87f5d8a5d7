"""A cheaper prompt that is not worse: tried on dev, put to the gate once, within a cap of its own, paid for once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
from loop.rich_production import NOW, ROWS, make_rich
from loop.scripted_model import learns
from loop.workplace import TARIFFS, TASK, Example, Workplace, task_values
from servers.openai_server import Fault, OpenAIServer
from upath import UPath

from domain.dataset import Split, SplitFractions, assign_split
from domain.errors import ProviderError
from resources.catalog.task_file import load_task
from resources.compression.picture import draw_front
from resources.compression.run import Compression, CompressionRun
from resources.database.repositories import (
    dataset_versions,
    gate_decisions,
    optimization_runs,
    prompt_versions,
)
from resources.evaluation.promote import PRODUCTION, promote_decided
from resources.llm import open_client

IN_FLIGHT = 16


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(behaviour=learns, tariffs=TARIFFS) as running:
        yield running


@dataclass
class Bench:
    """A workplace whose production prompt shows four examples of every mark, where one would do."""

    place: Workplace
    run_usd: str = "0.50"

    def compress(self) -> Compression:
        task = load_task(self.place.root / "catalog" / "tasks" / f"{TASK}.yaml")
        budget = task.budget.model_copy(update={"run_usd": Decimal(self.run_usd)})
        gate = task.gate.model_copy(update={"non_inferiority_margin": 0.15})
        task = task.model_copy(update={"budget": budget, "gate": gate})
        root = UPath(self.place.environment.storage_root)
        with self.place.database() as database:
            with database.session(read_only=True) as session:
                production = prompt_versions.get(session, TASK, PRODUCTION)
                dataset = dataset_versions.latest(session, TASK)
                assert dataset is not None
                run = CompressionRun(task, production, dataset, session)
            settings = self.place.environment.core_settings()
            caps = {**settings.budgets, **task.caps(run.id)}

            async def execute() -> Compression:
                async with open_client(settings.model_copy(update={"budgets": caps})) as llm:
                    return await run.execute(database, root, llm, lambda: NOW)

            found = asyncio.run(execute())
            draw_front(found, root / "front.svg")
            return found


@pytest.fixture
def bench(make_workplace: Callable[..., Workplace], server: OpenAIServer) -> Bench:
    return Bench(make_rich(make_workplace, server))


def sealed() -> set[str]:
    fractions = SplitFractions(**task_values()["dataset"]["split"])
    return {one.token for one in map(Example, range(ROWS)) if assign_split({"text": one.text}, fractions) is Split.TEST}


def shown_and_asked(body: bytes) -> tuple[int, str]:
    """How many demonstrations a request shows, and the row it asks about."""
    messages: list[dict[str, Any]] = json.loads(body)["messages"]
    return (len(messages) - 2) // 2, messages[-1]["content"]


def test_a_cheaper_prompt_is_found_on_dev_and_proved_on_test(bench: Bench, server: OpenAIServer) -> None:
    found = bench.compress()
    production, *others = found.trials
    assert found.chosen is not None
    assert found.contest is not None
    chosen = next(one for one in others if one.prompt_version_id == found.chosen.id)
    assert chosen.cost_nano_usd < production.cost_nano_usd
    assert chosen.score == production.score == 1.0
    assert min(one.score for one in others) < 1.0, "too few examples are worse, or nothing was put to the test"
    assert found.contest.decision.verdict == "promote"
    assert "not worse by 0.15" in found.contest.decision.reason
    on_test = {shown for shown, text in map(shown_and_asked, server.bodies) if any(token in text for token in sealed())}
    assert on_test == {production.demonstrations, chosen.demonstrations}
    with bench.place.database() as database:
        assert promote_decided(database, TASK, found.contest.decision.id, NOW).moved
        with database.session(read_only=True) as session:
            run = optimization_runs.get(session, found.run.id)
            assert run.role_of(found.chosen.id) == "result"
            fronts = {one["prompt_version_id"] for one in run.candidates if one["on_front"]}
    assert fronts == {one.prompt_version_id for one in found.front}
    assert "<svg" in (bench.place.home / "storage" / "front.svg").read_text()


def test_the_same_again_is_free_and_an_outage_costs_nothing_twice(bench: Bench, server: OpenAIServer) -> None:
    server.faults = lambda number, _: Fault(status=400) if number >= 90 else None
    with pytest.raises(ProviderError):
        bench.compress()
    with bench.place.database() as database, database.session(read_only=True) as session:
        assert [run.status for run in optimization_runs.list_optimization_runs(session, TASK)] == ["paused"]
    server.faults = lambda _number, _body: None
    first = bench.compress()
    assert first.run.status == "finished"
    assert 0 <= len(server.invoice) - len(set(server.bodies)) <= IN_FLIGHT
    asked = len(server.bodies)
    second = bench.compress()
    assert len(server.bodies) == asked
    assert (second.trials, second.chosen) == (first.trials, first.chosen)


def test_the_runs_own_cap_ends_the_search_with_what_was_tried(bench: Bench, server: OpenAIServer) -> None:
    bench.run_usd = "0.004"
    found = bench.compress()
    assert found.run.stop_reason == "run_budget"
    assert 1 <= len(found.trials) < 8
    assert server.invoice_nano_usd() <= 4_000_000
    with bench.place.database() as database, database.session(read_only=True) as session:
        assert gate_decisions.looks(session, TASK) == 0
