"""MIPROv2 through our runtime: instructions come from the proposal model, the search is repeatable."""

from __future__ import annotations

import pytest
from dspy_runtime.scripted import FIELD_MARK, ScriptedModel, make_rows, run, ticket_prompt

from domain.dataset import Split
from domain.optimization import MiproV2Spec
from resources.dspy_runtime.results import OptimizationResult

SPEC = MiproV2Spec(max_bootstrapped=2, max_labeled=2, proposal_model="openai/writer")


@pytest.fixture(scope="module")
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture(scope="module")
def result(model: ScriptedModel) -> OptimizationResult:
    return run(SPEC, model)


def test_it_finds_instructions_that_help(result: OptimizationResult) -> None:
    assert result.best_dev_score is not None
    assert result.baseline_dev_score is not None
    assert result.best_dev_score > result.baseline_dev_score
    assert "Rule" in result.best.steps[0].system_prompt
    assert {candidate.kind for candidate in result.candidates} >= {"baseline", "instructions+demonstrations"}


def test_proposals_are_asked_of_the_proposal_model(model: ScriptedModel, result: OptimizationResult) -> None:
    proposals = [request for request in model.requests if FIELD_MARK in request.messages[-1].content]
    tasks = [request for request in model.requests if FIELD_MARK not in request.messages[-1].content]
    assert proposals
    assert {request.model for request in proposals} == {"openai/writer"}
    assert {request.temperature for request in proposals} == {1.0}
    assert {request.model for request in tasks} == {"openai/scripted"}
    assert {(request.temperature, request.max_output_tokens, request.sample) for request in tasks} == {(0.0, 16, None)}
    rollouts = {request.sample for request in proposals}
    assert len(rollouts) > 2, "each proposal has a rollout of its own"


def test_untouched_instructions_stay_verbatim(result: OptimizationResult) -> None:
    """DSPy trims instructions; the arm that keeps them must be the authored text, trailing newline included."""
    authored = ticket_prompt().steps[0].system_prompt
    assert authored.endswith("\n")
    texts = {candidate.prompt.steps[0].system_prompt for candidate in result.candidates}
    assert authored in texts
    assert authored.strip() not in texts


@pytest.mark.parametrize("threads", [1, 4])
def test_threads_do_not_change_the_result(result: OptimizationResult, threads: int) -> None:
    other = run(SPEC.model_copy(update={"threads": threads}), ScriptedModel())
    assert other.best.id == result.best.id
    assert [one.prompt.id for one in other.candidates] == [one.prompt.id for one in result.candidates]


def test_seed_zero_is_a_seed_of_its_own(model: ScriptedModel, result: OptimizationResult) -> None:
    """DSPy takes a seed of 0 for none and runs 9; the rollouts of its proposals are its own random numbers."""
    nine = ScriptedModel()
    run(SPEC.model_copy(update={"seed": 9}), nine)
    assert rollouts(model)
    assert not rollouts(model) & rollouts(nine)


def rollouts(model: ScriptedModel) -> set[int]:
    return {request.sample for request in model.requests if request.sample}


def test_instructions_alone() -> None:
    spec = SPEC.model_copy(update={"max_bootstrapped": 0, "max_labeled": 0})
    result = run(spec, ScriptedModel())
    assert {candidate.kind for candidate in result.candidates} == {"baseline", "instructions"}


def test_minibatches_for_many_dev_rows() -> None:
    result = run(SPEC, ScriptedModel(), dev=make_rows(Split.DEV, 130))
    assert result.dev_rows == 100
    assert len(result.candidates) > 1
    assert result.candidates[0].kind == "baseline"
