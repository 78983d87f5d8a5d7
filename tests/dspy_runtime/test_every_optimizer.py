"""What holds for each optimizer: it improves, it is the same however it is run, on one step and on two."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dspy_runtime.scripted import (
    SEARCHES,
    ScriptedModel,
    is_proposal,
    make_rows,
    metric,
    run,
    ticket_prompt,
    undisturbed,
)
from dspy_runtime.test_planned_run import two_steps

from domain.dataset import Split
from domain.errors import InputError, OutputParseError
from domain.optimization import (
    BootstrapFewShotSpec,
    ChainSpec,
    CoproSpec,
    GepaSpec,
    MiproV2Spec,
    OptimizerSpec,
    SimbaSpec,
    gepa_rows,
)
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.halting import OptimizationHalted
from resources.dspy_runtime.metric import RowMetric
from resources.dspy_runtime.program import ProgramPlan, StepPrediction
from resources.dspy_runtime.row_scores import EvaluatorScores
from resources.dspy_runtime.scoreboard import ScoreBoard
from resources.llm.types import Request

ROOT = Path(__file__).parents[2]
KINDS = pytest.mark.parametrize("spec", SEARCHES, ids=lambda spec: spec.kind)


def with_threads(spec: OptimizerSpec, threads: int) -> OptimizerSpec:
    if isinstance(spec, ChainSpec):
        stages = tuple(stage.model_copy(update={"threads": threads}) for stage in spec.stages)
        return spec.model_copy(update={"stages": stages})
    return spec.model_copy(update={"threads": threads})


@KINDS
def test_it_beats_the_prompt_it_starts_from(spec: OptimizerSpec) -> None:
    _, result = undisturbed(spec.kind)
    assert result.best_dev_score is not None
    assert result.baseline_dev_score is not None
    assert result.best_dev_score > result.baseline_dev_score
    assert result.candidates[0].kind == "baseline"


@KINDS
def test_threads_do_not_change_the_result(spec: OptimizerSpec) -> None:
    results = [run(with_threads(spec, 1), ScriptedModel()), undisturbed(spec.kind)[1]]
    assert results[0].best.id == results[1].best.id
    assert [one.prompt.id for one in results[0].candidates] == [one.prompt.id for one in results[1].candidates]


@KINDS
def test_a_seed_is_a_search_of_its_own(spec: OptimizerSpec) -> None:
    if isinstance(spec, CoproSpec):
        pytest.skip("COPRO makes no random choice")
    seeded = spec.model_copy(update={"seed": 5})
    if isinstance(spec, ChainSpec):
        seeded = spec.model_copy(update={"stages": tuple(one.model_copy(update={"seed": 5}) for one in spec.stages)})
    first, second = undisturbed(spec.kind)[0], ScriptedModel()
    run(seeded, second)
    assert {one.messages for one in first.requests} != {one.messages for one in second.requests}


@KINDS
def test_two_steps(spec: OptimizerSpec) -> None:
    """The first step has no label; its demonstrations can only come from its own answers."""
    result = run(spec, ScriptedModel(), prompt=two_steps())
    assert len(result.candidates) > 1
    assert all(len(candidate.prompt.steps) == 2 for candidate in result.candidates)
    assert result.baseline_dev_score is not None
    assert result.best_dev_score is not None
    assert result.best_dev_score >= result.baseline_dev_score


MERGE = """
import random
import resources.dspy_runtime.dspy_import
from gepa.proposer.merge import sample_and_attempt_merge_programs_by_common_predictors as merge
names = [f"steps[{number}]" for number in range(6)]
programs = [{name: f"{name} {which}" for name in names} for which in ("ancestor", "left", "right")]
programs[1]["steps[0]"] = programs[0]["steps[0]"]
print(merge([0.1, 0.5, 0.5], random.Random(3), [1, 2], ([], []), programs, [[None], [0], [0]])[0])
"""


def test_the_order_of_strings_does_not_change_a_merge() -> None:
    """Python hashes texts differently in every process, and GEPA draws for each of a set of names."""
    told = {
        subprocess.run(
            [sys.executable, "-c", MERGE],
            env={"PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "PATH": ""},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(told) == 1
    assert "left" in (only := told.pop())
    assert "right" in only


@pytest.mark.parametrize(
    "spec", [MiproV2Spec(max_bootstrapped=2, max_labeled=2), CoproSpec(breadth=2, depth=1), GepaSpec(max_rows=80)]
)
def test_a_writer_that_keeps_to_no_format_is_one_clear_error(spec: OptimizerSpec) -> None:
    class Rambling(ScriptedModel):
        def text(self, request: Request) -> str:
            return "Let me think about that." if is_proposal(request) else super().text(request)

    with pytest.raises(OutputParseError, match=f"for {spec.kind} does not keep to the format"):
        run(spec, Rambling())


def test_proposals_go_to_the_model_that_is_named() -> None:
    for spec in (CoproSpec(breadth=2, depth=2), SEARCHES[4], GepaSpec(max_rows=80)):
        model = ScriptedModel()
        run(spec.model_copy(update={"proposal_model": "openai/writer"}), model)
        written = {request.model for request in model.requests if is_proposal(request)}
        answered = {request.model for request in model.requests if not is_proposal(request)}
        assert (written, answered) == ({"openai/writer"}, {"openai/scripted"})


def test_copro_gets_an_answer_of_its_own_for_each_of_n() -> None:
    model = ScriptedModel()
    run(CoproSpec(breadth=4, depth=2, temperature=0.7), model)
    proposals = [request for request in model.requests if is_proposal(request)]
    first = {request.sample for request in proposals if request.messages == proposals[0].messages}
    assert first == {0, 1, 2}
    assert len(proposals) == 3 + 4
    assert {request.temperature for request in proposals} == {0.7}


def test_gepa_reflects_on_train_rows_with_feedback_and_writes_anew_each_time() -> None:
    model = ScriptedModel()
    run(GepaSpec(max_rows=160), model)
    proposals = [request for request in model.requests if is_proposal(request)]
    asked = "\n".join(request.messages[-1].content for request in proposals)
    assert "Given: hard to say\\nExpected: refund\\nWhy: 'hard to say' is none of the declared labels." in asked
    assert "canary-train-" in asked
    assert "canary-dev-" not in asked
    samples = [request.sample for request in proposals]
    assert len(set(samples)) == len(samples) > 2


def test_simba_is_told_why_and_keeps_what_half_a_run_found() -> None:
    model = ScriptedModel()
    result = run(SimbaSpec(steps=4, batch_rows=8, candidates=3, train_rows=16), model)
    asked = "\n".join(request.messages[-1].content for request in model.requests if is_proposal(request))
    assert "Expected: " in asked
    assert "promptory" not in asked.lower()
    assert len(result.candidates) > 2, "the choices after 1, 2 and 4 steps"
    questions = [json.dumps([request.messages, request.sample, request.temperature]) for request in model.requests]
    assert len(set(questions)) == len(questions), "steps that are run again ask nothing again"


def test_bootstrapping_tries_again_at_temperature_one() -> None:
    model = ScriptedModel()
    run(BootstrapFewShotSpec(max_bootstrapped=20, max_labeled=0, max_rounds=3), model)
    assert {request.temperature for request in model.requests} == {0.0, 1.0}
    assert len({request.sample for request in model.requests if request.temperature == 1.0}) == 2


def test_a_chain_starts_each_stage_from_the_winner() -> None:
    stages = (BootstrapFewShotSpec(max_bootstrapped=2, max_labeled=3), CoproSpec(breadth=3, depth=1))
    model = ScriptedModel()
    result = run(ChainSpec(stages=stages), model)
    alone = run(stages[0], ScriptedModel())
    with_instructions = [one for one in result.candidates if "instructions" in one.kind]
    assert alone.best.steps[0].demonstrations
    assert with_instructions
    for one in with_instructions:
        assert one.prompt.steps[0].demonstrations == alone.best.steps[0].demonstrations
    assert len({context.run_id for context in model.contexts}) == 1


def test_stages_of_a_chain_are_scored_on_the_same_rows() -> None:
    stages = (BootstrapFewShotSpec(), MiproV2Spec(max_bootstrapped=0, max_labeled=0))
    model = ScriptedModel()
    result = run(ChainSpec(stages=stages, dev_rows=110), model, dev=make_rows(Split.DEV, 120))
    assert result.dev_rows == 100, "MIPROv2 takes no more, so nobody does"
    assert len({context.row_id for context in model.contexts if (context.row_id or "").startswith("dev")}) == 100


@pytest.mark.parametrize(("auto", "steps", "dev_rows"), [("light", 1, 40), ("medium", 2, 100), ("heavy", 3, 7)])
def test_gepas_allowance_is_the_one_dspy_reckons(auto: Any, steps: int, dev_rows: int) -> None:
    candidates = {"light": 6, "medium": 12, "heavy": 18}[auto]
    theirs = dspy.GEPA(metric=lambda *_: 0.0, auto=auto, instruction_proposer=lambda **_: {})
    assert gepa_rows(GepaSpec(auto=auto), dev_rows, steps) == theirs.auto_budget(steps, candidates, dev_rows)


def test_an_allowance_that_the_first_scoring_uses_up_is_refused() -> None:
    model = ScriptedModel()
    with pytest.raises(InputError, match="20 rows in all and needs 20"):
        run(GepaSpec(max_rows=20), model)
    assert model.requests == []


def test_a_dev_rows_expected_answer_is_never_put_into_words() -> None:
    prompt = ticket_prompt()
    plan = ProgramPlan(prompt)
    ended: list[BaseException] = []
    rows_metric = RowMetric(EvaluatorScores(metric()), plan, ScoreBoard(["dev-0"], lambda: None), ended.append)
    train, dev = (make_rows(split, 1) for split in (Split.TRAIN, Split.DEV))
    [seen], [hidden] = rows_metric.train_examples(train), rows_metric.dev_examples(dev)
    given = StepPrediction(plan.fields.label, "postage", prompt, None)
    assert "Expected: " in rows_metric.explained(seen, given).feedback
    with pytest.raises(OptimizationHalted):
        rows_metric.explained(hidden, given)
    assert "a dev row's must stay unknown" in str(ended[0]), "the run is told at once"
