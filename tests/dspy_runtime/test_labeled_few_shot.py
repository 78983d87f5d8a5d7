"""The optimizer that asks nothing."""

from __future__ import annotations

from dspy_runtime.scripted import ScriptedModel, make_rows, run, ticket_prompt

from domain.contracts import TextContract
from domain.dataset import Split
from domain.optimization import LabeledFewShotSpec
from domain.prompt import PromptStep, PromptVersion
from resources.dspy_runtime.references import reference_draws


def test_it_shows_labelled_rows_and_scores_nothing() -> None:
    model = ScriptedModel()
    result = run(LabeledFewShotSpec(demonstrations=4), model)
    assert model.requests == []
    assert (result.best_dev_score, result.baseline_dev_score, result.calls) == (None, None, 0)
    assert [candidate.kind for candidate in result.candidates] == ["demonstrations"]
    rows = {row.inputs["text"]: row.output for row in make_rows(Split.TRAIN, 30)}
    shown = result.best.steps[0].demonstrations
    assert len(shown) == 4
    assert all(rows[one.inputs["text"]] == one.output for one in shown)


def test_the_seed_decides_which_rows() -> None:
    ids = [run(LabeledFewShotSpec(demonstrations=4, seed=seed), ScriptedModel()).best.id for seed in (0, 0, 1, 9)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_references_of_a_prompt_without_demonstrations_are_none() -> None:
    assert reference_draws(ticket_prompt(), make_rows(Split.TRAIN, 5), 0, draws=3, seed=0) == ()


def test_references_are_none_where_no_row_has_a_label_for_the_step() -> None:
    first = PromptStep(name="topic", output_prompt="{{ text }}")
    last = PromptStep(name="reply", output_prompt="{{ topic }}", output=TextContract())
    prompt = PromptVersion(steps=(first, last), model="openai/m")
    assert reference_draws(prompt, make_rows(Split.TRAIN, 5), 2, draws=3, seed=0) == ()


def test_equal_draws_are_given_once() -> None:
    assert len(reference_draws(ticket_prompt(), make_rows(Split.TRAIN, 1), 5, draws=3, seed=0)) == 1
