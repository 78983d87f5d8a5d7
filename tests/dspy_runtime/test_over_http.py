"""Every optimizer against a provider that bills by itself: within its plan, within its cap, without a test row."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from dspy_runtime.scripted import SEARCHES
from dspy_runtime.workbench import CHOICE_LABEL, TARIFFS, TASK, Workbench, answers, purpose_of
from servers.openai_server import OpenAIServer

from domain.dataset import Split
from domain.optimization import ChainSpec, GepaSpec, OptimizerSpec, SimbaSpec
from domain.pricing import nano_to_usd
from resources.database.repositories import optimization_runs
from resources.database.repositories.optimization_runs import OptimizationRunRecord
from resources.dspy_runtime.progress import SearchState
from resources.optimization.plan import RunPlan

WRITER = "openai/writer"
DOLLARS_OFF, CALLS_OFF = 5, 3  # how far the expected figures may be off


def with_writer(spec: OptimizerSpec) -> OptimizerSpec:
    """The same, its instructions written by a model of its own price."""
    if isinstance(spec, ChainSpec):
        return spec.model_copy(update={"stages": tuple(with_writer(stage) for stage in spec.stages)})
    return spec.model_copy(update={"proposal_model": WRITER}) if hasattr(spec, "proposal_model") else spec


def in_default_suite(spec: OptimizerSpec) -> bool:
    return isinstance(spec, GepaSpec | SimbaSpec)


@dataclass
class Whole:
    """A run that nothing disturbed, with all that can be said about it."""

    bench: Workbench
    server: OpenAIServer
    plan: RunPlan
    record: OptimizationRunRecord
    told: list[SearchState] = field(default_factory=list)


def run_whole(spec: OptimizerSpec, folder: Path, server: OpenAIServer, metric: dict[str, Any] = CHOICE_LABEL) -> Whole:
    bench = Workbench(folder, server.base_url, with_writer(spec), metric=metric).set_up()
    plan = bench.run(lambda run, settings, _: run.plan(bench.storage, settings))
    assert server.bodies == []
    told: list[SearchState] = []
    record = bench.run(lambda run, settings, database: bench.execute(run, settings, database, told.append))
    return Whole(bench, server, plan, record, told)


@pytest.mark.parametrize(
    "spec",
    [pytest.param(one, id=one.kind, marks=[] if in_default_suite(one) else pytest.mark.slow) for one in SEARCHES],
)
def test_a_run_keeps_to_its_plan_its_rows_and_its_cap(spec: OptimizerSpec, tmp_path: Path) -> None:
    with OpenAIServer(behaviour=answers, tariffs=TARIFFS) as server:
        whole = run_whole(spec, tmp_path / "whole", server)
    assert (whole.record.status, whole.record.stop_reason) == ("finished", None)
    assert whole.record.dev_score == max(one["dev_score"] for one in whole.record.candidates)
    check_plan(whole)
    check_shown_dollars(whole)
    check_sealed(whole)
    with OpenAIServer(behaviour=answers, tariffs=TARIFFS) as server:
        check_half_the_money(whole, tmp_path / "half", server)


def check_plan(whole: Whole) -> None:
    """Calls, tokens and dollars of each kind are at most as planned, and in all near the expected."""
    check_bounds(whole)
    plan, server = whole.plan, whole.server
    assert plan.cost is not None
    assert plan.cost.expected / DOLLARS_OFF <= server.invoice_nano_usd() <= plan.cost.expected * DOLLARS_OFF
    assert plan.calls.expected / CALLS_OFF <= len(server.invoice) <= plan.calls.expected * CALLS_OFF


def check_bounds(whole: Whole) -> None:
    """Calls, tokens and dollars of each kind are at most as planned."""
    plan, server = whole.plan, whole.server
    purposes = [purpose_of(body) for body in server.requests]
    for purpose in ("task", "proposals", "judge", "vectors"):
        lines = [line for line in plan.lines if line.purpose == purpose]
        billed = [line for line, its in zip(server.invoice, purposes, strict=True) if its == purpose]
        assert len(billed) <= sum(line.calls.at_most for line in lines)
        most_in = max((line.size.input_tokens.at_most for line in lines), default=0)
        assert max((line.input_tokens for line in billed), default=0) <= most_in
        tokens = sum(line.input_tokens + line.output_tokens for line in billed)
        assert tokens <= sum(line.tokens.at_most for line in lines)
        money = sum(line.nano_usd for line in billed)
        assert money <= sum(line.cost.at_most for line in lines if line.cost)
    assert not plan.cut_short


def check_shown_dollars(whole: Whole) -> None:
    """From the books, to the nano-dollar."""
    assert whole.told[-1].spent_nano_usd == whole.server.invoice_nano_usd()
    assert whole.told[-1].candidates == len(whole.record.candidates)
    for one in whole.record.candidates:
        assert 0 <= one["dev_low"] <= one["dev_score"] <= one["dev_high"] <= 1
        assert one["dev_cost_nano_usd"] > 0


def check_sealed(whole: Whole) -> None:
    """No body ever held a test row."""
    canaries = [row.inputs["text"].split()[0] for row in whole.bench.split(Split.TEST)]
    assert len(canaries) > 10
    assert not [canary for canary in canaries if whole.server.received(canary)]
    assert whole.server.received(whole.bench.split(Split.DEV)[0].inputs["text"].split()[0])


def check_half_the_money(whole: Whole, folder: Path, server: OpenAIServer) -> None:
    """Under half its cost as a cap, the run ends within it, with a valid version, and stays as it is."""
    cap = whole.server.invoice_nano_usd() // 2
    bench = replace(whole.bench, folder=folder, url=server.base_url, cap=f"{nano_to_usd(cap):f}").set_up()
    plan = bench.run(lambda run, settings, _: run.plan(bench.storage, settings))
    assert plan.bound_nano_usd == cap
    record = bench.run()
    assert cap // 2 < server.invoice_nano_usd() <= cap
    assert (record.status, record.stop_reason) == ("finished", "run_budget")
    best = bench.version(record.result_prompt_version_id or "")
    assert best.prompt.steps[-1].output_prompt == "Ticket: {{ text }}"
    known = {one["prompt_version_id"] for one in whole.record.candidates}
    assert {one["prompt_version_id"] for one in record.candidates} <= known
    asked = len(server.bodies)
    again = replace(bench, cache=False).run()
    assert (again.result_prompt_version_id, len(server.bodies)) == (record.result_prompt_version_id, asked)


def test_an_interrupted_run_says_how_far_it_came_and_goes_on(tmp_path: Path) -> None:
    def stop(state: SearchState) -> None:
        if state.candidates == 2:
            raise KeyboardInterrupt

    with OpenAIServer(behaviour=answers, tariffs=TARIFFS) as server:
        bench = Workbench(tmp_path, server.base_url, SEARCHES[1]).set_up()
        with pytest.raises(KeyboardInterrupt):
            bench.run(lambda run, settings, database: bench.execute(run, settings, database, stop))
        paused = stored_run(bench)
        assert paused.status == "paused"
        assert paused.stop_reason is not None
        assert paused.stop_reason.startswith("Interrupted. Reached ")
        assert "2 candidates, best so far" in paused.stop_reason
        best = bench.version(paused.result_prompt_version_id or "")
        assert f"prompt version v{best.version}" in paused.stop_reason
        told: list[SearchState] = []
        resumed: Any = bench.run(lambda run, settings, database: bench.execute(run, settings, database, told.append))
        assert (resumed.status, resumed.stop_reason) == ("finished", None)
        assert len({bytes(body) for body in server.bodies}) == len(server.bodies), "nothing is paid for again"
        assert told[-1].spent_nano_usd == server.invoice_nano_usd(), "what was spent before the interrupt counts"


def stored_run(bench: Workbench) -> OptimizationRunRecord:
    with bench.database() as database, database.session(read_only=True) as session:
        return optimization_runs.list_optimization_runs(session, TASK)[0]
