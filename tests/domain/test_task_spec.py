from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from domain.evaluators.specs import ChoiceLabelSpec, RegexSpec
from domain.gate import GateRule
from domain.optimization import RandomSearchSpec
from domain.task import Task


def task(**changes: Any) -> dict[str, Any]:
    return {
        "name": "support_triage",
        "dataset": {"source": "tickets.csv", "inputs": ["message"], "output": "category"},
        "prompt": {
            "model": "offline/nearest",
            "output_prompt": "{{ message }}",
            "output": {"kind": "choice", "choices": ["billing", "other"]},
        },
        "evaluators": [{"kind": "choice_label"}, {"kind": "exact_match", "ignore_case": False}],
        **changes,
    }


def test_a_single_step_prompt_is_written_in_place() -> None:
    loaded = Task.model_validate(task())
    [step] = loaded.prompt.version().steps
    assert (step.name, step.output_prompt, step.output.kind) == ("answer", "{{ message }}", "choice")
    assert loaded.prompt.version().model == "offline/nearest"


def test_in_place_and_listed_steps_are_the_same_version() -> None:
    prompt = task()["prompt"]
    listed = {"model": prompt.pop("model"), "steps": [prompt]}
    assert (
        Task.model_validate(task(prompt=listed)).prompt.version().id == Task.model_validate(task()).prompt.version().id
    )


def test_defaults_are_the_safe_ones() -> None:
    loaded = Task.model_validate(task())
    assert loaded.optimize == "manual"
    assert loaded.optimizer is None
    assert loaded.gate == GateRule()
    assert loaded.budget.run_usd == Decimal("1.00")
    assert loaded.metric == ChoiceLabelSpec()


def test_its_models_are_all_that_a_run_may_ask() -> None:
    assert Task.model_validate(task()).models == {"offline/nearest"}
    judge = {"model": "vertex/gemini-2.5-pro", "rubric": "Is it right?"}
    loaded = Task.model_validate(
        task(
            prompt={**task()["prompt"], "model": "openai/gpt-4o-mini"},
            evaluators=[{"kind": "choice_label"}, {"kind": "judge", **judge}],
            optimizer={"kind": "copro", "proposal_model": "openai/gpt-4o"},
            gate={"pairwise": {**judge, "model": "litellm/other"}},
        )
    )
    assert loaded.models == {"openai/gpt-4o-mini", "openai/gpt-4o", "vertex/gemini-2.5-pro", "litellm/other"}


def test_spec_id_follows_the_specification() -> None:
    same, other = Task.model_validate(task()), Task.model_validate(task(description="Sorts tickets."))
    assert same.spec_id == Task.model_validate(task()).spec_id != other.spec_id
    assert Task.model_validate(same.model_dump(mode="json")).spec_id == same.spec_id


def test_specs_are_told_apart_by_kind() -> None:
    loaded = Task.model_validate(
        task(evaluators=[{"kind": "regex", "pattern": "a"}], optimizer={"kind": "bootstrap_random_search"})
    )
    assert loaded.metric == RegexSpec(pattern="a")
    assert loaded.optimizer == RandomSearchSpec()


def dataset(**changes: Any) -> dict[str, Any]:
    return {"source": "tickets.csv", "inputs": ["message"], "output": "category", **changes}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "Support Triage"}, "pattern"),
        ({"evaluators": []}, "at least 1"),
        ({"evaluators": [{"kind": "vibes"}]}, "vibes"),
        ({"evaluators": [{"kind": "regex", "pattern": "("}]}, "not a regular expression"),
        ({"optimizer": {"kind": "magic"}}, "magic"),
        ({"optimize": "sometimes"}, "automatic"),
        ({"surprise": 1}, "Extra"),
        ({"dataset": dataset(inputs=[])}, "at least 1"),
        ({"dataset": dataset(inputs=["message", "message"])}, "names a column twice"),
        ({"dataset": dataset(output=["a", "b"])}, "must be of kind json"),
        ({"gate": {"alpha": 0}}, "greater than"),
        ({"gate": {"min_saving": 0.01}}, "greater than or equal"),
        ({"budget": {"run_usd": 0}}, "greater than"),
        ({"prompt": {"output_prompt": "x"}}, "model"),
    ],
)
def test_unusable_task_files_are_refused(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Task.model_validate(task(**changes))


def test_several_output_columns_make_one_object() -> None:
    prompt = {
        "model": "offline/nearest",
        "output_prompt": "x",
        "output": {"kind": "json", "schema": {"type": "object"}},
    }
    loaded = Task.model_validate(
        task(prompt=prompt, dataset=dataset(output=["a", "b"]), evaluators=[{"kind": "json_fields"}])
    )
    assert loaded.dataset.output == ("a", "b")
    assert Task.model_validate(loaded.model_dump(mode="json")) == loaded


def test_a_changed_copy_is_not_taken_for_the_original() -> None:
    loaded = Task.model_validate(task())
    before = (loaded.spec_id, loaded.reading, loaded.prompt.version().id)

    copied = loaded.model_copy(update={"evaluators": (ChoiceLabelSpec(),)})
    prompt = loaded.prompt.model_copy(update={"model": "openai/other"})

    assert copied.spec_id != before[0]
    assert copied.reading != before[1]
    assert prompt.version().id != before[2]
    assert (loaded.spec_id, loaded.reading, loaded.prompt.version().id) == before
