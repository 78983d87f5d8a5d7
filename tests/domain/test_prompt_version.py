from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain.contracts import ChoiceContract, JsonContract, NumberContract, OutputContract, TextContract
from domain.identity import canonical_json
from domain.prompt import Demonstration, PromptParameters, PromptStep, PromptVersion

BASE = PromptVersion(
    model="openai/gpt-4o-mini",
    steps=(
        PromptStep(
            name="label",
            system_prompt="Label it.",
            output_prompt="{{ text }}",
            demonstrations=(
                Demonstration(inputs={"text": "one", "more": "x"}, output="a"),
                Demonstration(inputs={"text": "two"}, output="b"),
            ),
            output=ChoiceContract(choices={"a": "", "b": "about b"}),
        ),
        PromptStep(name="why", output_prompt="Why {{ label }}?"),
    ),
)


def changed(**fields: Any) -> PromptVersion:
    return BASE.with_steps((BASE.steps[0].model_copy(update=fields), *BASE.steps[1:]))


@pytest.mark.parametrize(
    "other",
    [
        changed(name="labels"),
        changed(system_prompt="Label it. "),
        changed(output_prompt="{{ text }}."),
        changed(demonstrations=tuple(reversed(BASE.steps[0].demonstrations))),
        changed(demonstrations=BASE.steps[0].demonstrations[:1]),
        changed(output=ChoiceContract(choices={"b": "about b", "a": ""})),
        changed(output=ChoiceContract(choices={"a": "", "b": ""})),
        changed(output=ChoiceContract(choices={"a": "", "b": "about b"}, reasoning=True)),
        changed(output=TextContract()),
        BASE.with_steps(BASE.steps[::-1]),
        BASE.with_steps(BASE.steps[:1]),
        BASE.model_copy(update={"model": "openai/gpt-4o"}),
        BASE.model_copy(update={"parameters": PromptParameters(temperature=0.1)}),
        BASE.model_copy(update={"parameters": PromptParameters(stop=("\n",))}),
        BASE.model_copy(update={"parameters": PromptParameters(extra={"effort": "low"})}),
    ],
)
def test_any_change_of_content_changes_the_id(other: PromptVersion) -> None:
    assert PromptVersion.from_content(other.content()).id != BASE.id


def test_what_says_the_same_has_the_same_id() -> None:
    again = changed(
        demonstrations=(
            Demonstration(inputs={"more": "x", "text": "one"}, output="a"),
            Demonstration(inputs={"text": "two"}, output="b"),
        ),
        output=ChoiceContract.model_validate({"choices": [["a", ""], ["b", "about b"]]}),
    )
    assert again.id == BASE.id
    assert PromptVersion(steps=BASE.steps, model=BASE.model, parameters=PromptParameters(temperature=0)).id == BASE.id


def test_id_does_not_drift_between_releases() -> None:
    version = PromptVersion(model="offline/nearest", steps=(PromptStep(output_prompt="{{ text }}"),))
    assert canonical_json(version.content()) == (
        '{"model":"offline/nearest","parameters":{"extra":{},"max_output_tokens":512,"seed":null,"stop":[],'
        '"temperature":0.0,"top_p":null},"steps":[{"demonstrations":[],"name":"answer","output":{"kind":"text",'
        '"reasoning":false},"output_prompt":"{{ text }}","system_prompt":""}]}'
    )


contracts: st.SearchStrategy[OutputContract] = st.sampled_from(
    [
        TextContract(),
        NumberContract(reasoning=True),
        ChoiceContract(choices={"z": "", "a": "first"}),
        JsonContract(schema={"type": "object", "properties": {"b": {"type": "string"}, "a": {}}}),
    ]
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
steps = st.builds(
    PromptStep,
    name=st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True),
    system_prompt=texts,
    output_prompt=texts.filter(bool),
    demonstrations=st.lists(
        st.builds(Demonstration, inputs=st.dictionaries(texts, texts, max_size=2), output=texts), max_size=2
    ).map(tuple),
    output=contracts,
)
versions = st.builds(
    PromptVersion,
    model=st.just("openai/x"),
    steps=st.lists(steps, min_size=1, max_size=3, unique_by=lambda step: step.name).map(tuple),
)


@given(versions)
def test_content_survives_storage(version: PromptVersion) -> None:
    again = PromptVersion.from_content(version.content())
    assert again == version
    assert again.id == version.id


@given(versions, versions)
def test_ids_are_equal_exactly_when_contents_are(one: PromptVersion, other: PromptVersion) -> None:
    assert (one.id == other.id) == (canonical_json(one.content()) == canonical_json(other.content()))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"model": "gpt-4o"}, "pattern"),
        ({"steps": []}, "at least 1"),
        ({"steps": [{"output_prompt": "a"}, {"output_prompt": "b"}]}, "same name"),
        ({"steps": [{"output_prompt": ""}]}, "at least 1"),
        ({"steps": [{"output_prompt": "a", "name": "Not Fine"}]}, "pattern"),
        ({"steps": [{"output_prompt": "half \ud800"}]}, "unicode"),
        ({"name": "mine"}, "Extra"),
        ({"parameters": {"temperature": 3}}, "less than"),
    ],
)
def test_unusable_prompts_are_refused(change: dict[str, Any], problem: str) -> None:
    content = {"model": "openai/x", "steps": [{"output_prompt": "a"}], **change}
    with pytest.raises(ValidationError, match=problem):
        PromptVersion.from_content(content)


def test_versions_are_immutable() -> None:
    with pytest.raises(ValidationError):
        BASE.model = "openai/other"  # pyright: ignore[reportAttributeAccessIssue]
