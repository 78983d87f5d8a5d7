"""Random search through our runtime: it improves, it is the same however it is run, it learns only what is right."""

from __future__ import annotations

import random

import pytest
from dspy_runtime.scripted import (
    CONTRACT,
    COST_NANO_USD,
    RUN_ID,
    MemoryJournal,
    ScriptedModel,
    label_of,
    make_rows,
    metric,
    run,
    ticket_prompt,
)

from domain.dataset import Split
from domain.errors import InputError, OutputParseError
from domain.evaluators.score import Score
from domain.optimization import RandomSearchSpec
from domain.parsing import parse_output
from domain.prompt import Demonstration
from domain.rendering import render_step
from resources.dspy_runtime.progress import SearchState
from resources.dspy_runtime.results import OptimizationResult
from resources.llm.prompt_request import build_request

SPEC = RandomSearchSpec(candidates=4, max_bootstrapped=2, max_labeled=5)


@pytest.fixture(scope="module")
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture(scope="module")
def result(model: ScriptedModel) -> OptimizationResult:
    return run(SPEC, model)


def true_score(result: OptimizationResult) -> float:
    """The winner's score on the dev rows, found without any of the runtime."""
    judge, step, rows = ScriptedModel(), result.best.steps[0], make_rows(Split.DEV, 20)
    texts = [judge.text(build_request(result.best, render_step(step, row.inputs))) for row in rows]
    return sum(metric().score(row.output, text).value for row, text in zip(rows, texts, strict=True)) / len(rows)


def test_the_winner_beats_the_baseline_by_what_it_learned(result: OptimizationResult) -> None:
    assert result.baseline_dev_score is not None
    assert result.best_dev_score is not None
    assert result.best_dev_score > result.baseline_dev_score
    assert true_score(result) == pytest.approx(result.best_dev_score)


def test_candidates_are_reported_with_their_scores(result: OptimizationResult) -> None:
    scores = [candidate.dev_score for candidate in result.candidates]
    assert result.candidates[0].kind == "baseline"
    assert {candidate.kind for candidate in result.candidates[1:]} == {"demonstrations"}
    assert max(score for score in scores if score is not None) == result.best_dev_score
    assert len({candidate.prompt.id for candidate in result.candidates}) == len(scores)


def test_every_demonstration_is_a_train_row_answered_right(result: OptimizationResult) -> None:
    train = {row.inputs["text"] for row in make_rows(Split.TRAIN, 30)}
    for candidate in result.candidates:
        for demonstration in candidate.prompt.steps[0].demonstrations:
            assert demonstration.inputs["text"] in train
            word = demonstration.inputs["text"].split()[-1]
            assert parse_output(CONTRACT, demonstration.output) == label_of(word)


@pytest.mark.parametrize("threads", [1, 3, 16])
def test_threads_do_not_change_the_result(result: OptimizationResult, threads: int) -> None:
    other = run(SPEC.model_copy(update={"threads": threads}), ScriptedModel())
    assert other.best.id == result.best.id
    assert [one.prompt.id for one in other.candidates] == [one.prompt.id for one in result.candidates]
    assert [one.dev_score for one in other.candidates] == [one.dev_score for one in result.candidates]


def test_the_order_of_the_rows_does_not_change_the_result(result: OptimizationResult) -> None:
    train, dev = make_rows(Split.TRAIN, 30), make_rows(Split.DEV, 20)
    random.Random(5).shuffle(train)
    random.Random(6).shuffle(dev)
    assert run(SPEC, ScriptedModel(), train=train, dev=dev).best.id == result.best.id


def test_another_seed_draws_other_demonstrations(result: OptimizationResult) -> None:
    other = run(SPEC.model_copy(update={"seed": 1}), ScriptedModel())
    assert {one.prompt.id for one in other.candidates} & {one.prompt.id for one in result.candidates[1:]} == set()


def test_sampling_above_temperature_zero_is_repeatable() -> None:
    """The model's answers to one request differ from call to call; the run must ask each question once."""

    class Moody(ScriptedModel):
        def text(self, request):
            assert request.sample is not None
            return super().text(request) if random.random() < 0.7 else "no idea"

    journal = MemoryJournal()
    first = run(SPEC, Moody(), journal, prompt=ticket_prompt(temperature=0.7))
    silent = ScriptedModel()
    again = run(SPEC, silent, journal, prompt=ticket_prompt(temperature=0.7))
    assert again.best.id == first.best.id
    assert silent.requests == []


def test_calls_say_whose_they_are(model: ScriptedModel, result: OptimizationResult) -> None:
    known = {candidate.prompt.id for candidate in result.candidates}
    rows = {row.row_id for row in (*make_rows(Split.TRAIN, 30), *make_rows(Split.DEV, 20))}
    for context in model.contexts:
        assert context.purpose == "optimize"
        assert context.scopes == ("day", "task:tickets", f"run:{RUN_ID}")
        assert (context.task, context.run_id, context.dataset_version_id) == ("tickets", RUN_ID, "d" * 64)
        assert not context.allow_fallback
        assert context.step == "label"
        assert context.row_id in rows
    dev_calls = [context for context in model.contexts if (context.row_id or "").startswith("dev")]
    assert {context.prompt_version_id for context in dev_calls} == known


def test_no_question_is_paid_twice(model: ScriptedModel, result: OptimizationResult) -> None:
    asked = [request.messages for request in model.requests]
    assert len(set(asked)) == len(asked)
    assert result.calls >= len(asked)


def test_references_have_as_many_random_demonstrations(result: OptimizationResult) -> None:
    count = len(result.best.steps[0].demonstrations)
    assert count > 0
    assert len(result.references) == SPEC.reference_draws
    for reference in result.references:
        assert len(reference.steps[0].demonstrations) == count
        assert reference.steps[0].system_prompt == ticket_prompt().steps[0].system_prompt
    assert len({reference.id for reference in result.references}) == SPEC.reference_draws
    again = run(SPEC, ScriptedModel())
    assert [one.id for one in again.references] == [one.id for one in result.references]


def test_authored_demonstrations_stay_in_the_baseline() -> None:
    authored = (Demonstration(inputs={"text": "mine about basil", "note": "not in the template"}, output="delivery"),)
    prompt = ticket_prompt(demonstrations=authored)
    result = run(SPEC, ScriptedModel(), prompt=prompt)
    assert result.candidates[0].prompt.id == prompt.id
    assert result.candidates[0].prompt.steps[0].demonstrations == authored


def test_labelled_sets_alone_when_nothing_is_bootstrapped() -> None:
    spec = SPEC.model_copy(update={"max_bootstrapped": 0})
    model = ScriptedModel()
    result = run(spec, model)
    assert len(result.candidates) > 3
    assert all((context.row_id or "").startswith("dev") for context in model.contexts)


def test_nothing_better_than_the_baseline_leaves_the_baseline() -> None:
    class Stubborn(ScriptedModel):
        def text(self, request):
            return "billing"

    result = run(SPEC, Stubborn())
    assert result.best.id == ticket_prompt().id
    assert result.best_dev_score == result.baseline_dev_score
    assert result.references == ()


def test_dev_rows_are_limited_as_the_task_says() -> None:
    model = ScriptedModel()
    result = run(SPEC.model_copy(update={"dev_rows": 6}), model)
    assert result.dev_rows == 6
    assert len({context.row_id for context in model.contexts if (context.row_id or "").startswith("dev")}) == 6


def test_half_right_answers_never_become_demonstrations() -> None:
    class HalfRight:
        name = "half"

        def score(self, expected, text, inputs):
            return Score(0.5, "half right, always")

        def check_expected(self, expected):
            return None

    result = run(SPEC.model_copy(update={"max_labeled": 0}), ScriptedModel(), evaluator=HalfRight())
    assert [candidate.kind for candidate in result.candidates] == ["baseline"]


def test_broken_answers_never_become_demonstrations_even_if_the_metric_likes_them() -> None:
    class Lenient:
        name = "lenient"

        def score(self, expected, text, inputs):
            return Score(1.0, "all is well")

        def check_expected(self, expected):
            return None

    result = run(SPEC.model_copy(update={"max_labeled": 0}), ScriptedModel(), evaluator=Lenient())
    outputs = {
        demonstration.output
        for candidate in result.candidates
        for demonstration in candidate.prompt.steps[0].demonstrations
    }
    assert outputs == {"billing"}
    with pytest.raises(OutputParseError):
        parse_output(CONTRACT, "hard to say")


def test_a_row_that_cannot_be_a_demonstration_is_one_clear_error() -> None:
    train = make_rows(Split.TRAIN, 5)
    train[3].inputs["text"] = "canary about basil"
    bad = type(train[3])("row-77", train[3].inputs, "praise", Split.TRAIN, "x")
    with pytest.raises(InputError, match="row row-77 cannot be a demonstration"):
        run(SPEC, ScriptedModel(), train=[*train, bad])


def test_progress_is_told() -> None:
    told: list[SearchState] = []
    model = ScriptedModel()
    result = run(SPEC, model, progress=told.append)
    assert [state.answers for state in told] == sorted(state.answers for state in told)
    assert told[0] == SearchState(answers=1, candidates=0, best=None, spent_nano_usd=told[0].spent_nano_usd)
    assert told[-1] == SearchState(
        result.calls, len(result.candidates), result.best_dev_score, len(model.requests) * COST_NANO_USD
    )


def test_candidates_have_intervals_and_the_cost_of_their_dev_rows(result: OptimizationResult) -> None:
    for candidate in result.candidates:
        assert candidate.interval is not None
        assert candidate.interval.low < candidate.interval.mean == candidate.dev_score < candidate.interval.high
        assert candidate.dev_cost_nano_usd == 20 * COST_NANO_USD
