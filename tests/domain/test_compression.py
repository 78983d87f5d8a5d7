from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.compression import answer_token_bound, pareto_front, variants
from domain.contracts import ChoiceContract, NumberContract, TextContract
from domain.prompt import Demonstration, PromptParameters, PromptStep, PromptVersion

CHOICE = ChoiceContract.model_validate({"choices": ["yes", "no", "später"]})


def prompt(shown: int = 8, tokens: int = 512, **changes: object) -> PromptVersion:
    examples = tuple(
        Demonstration(inputs={"text": "x" * (1 + (5 * number) % 8)}, output=("yes", "no")[number % 4 == 3])
        for number in range(shown)
    )
    fields = {"system_prompt": "  Say   it.\n\n\n\nNow.  ", "output_prompt": "{{ text }}", "demonstrations": examples}
    step = PromptStep(**{"output": CHOICE, **fields, **changes})  # type: ignore[arg-type]
    return PromptVersion(steps=(step,), model="a/big", parameters=PromptParameters(max_output_tokens=tokens))


def test_variants_are_cheaper_in_every_way_and_never_the_prompt_itself() -> None:
    found = variants(prompt(), ["b/small"])
    assert len({one.prompt.id for one in found}) == len(found)
    assert prompt().id not in {one.prompt.id for one in found}
    assert {one.prompt.model for one in found} == {"a/big", "b/small"}
    assert {len(one.prompt.steps[0].demonstrations) for one in found} == {8, 6, 4, 2, 0}
    assert {one.prompt.steps[0].system_prompt for one in found} == {"Say it.\n\nNow."}
    assert {one.prompt.parameters.max_output_tokens for one in found} == {len("später".encode()) + 4}
    assert [one.change for one in found][:3] == ["tight text", "6 examples", "6 shortest examples"]
    assert found == variants(prompt(), ["b/small", "a/big"])


def test_kept_examples_keep_their_order_and_every_answer() -> None:
    by_change = {one.change: one.prompt.steps[0].demonstrations for one in variants(prompt())}
    all_shown = prompt().steps[0].demonstrations
    for shown in by_change.values():
        assert [one for one in all_shown if one in shown][: len(shown)] == list(shown)
    assert {one.output for one in by_change["2 examples"]} == {"yes", "no"}
    sizes = sorted(len(one.inputs["text"]) + len(one.output) for one in all_shown)
    assert max(len(one.inputs["text"]) + len(one.output) for one in by_change["4 shortest examples"]) <= sizes[4]


@pytest.mark.parametrize(
    ("contract", "bound"),
    [
        (CHOICE, 11),
        (CHOICE.model_copy(update={"reasoning": True}), None),
        (NumberContract(), 32),
        (TextContract(), None),
    ],
)
def test_only_a_contract_that_bounds_the_answer_bounds_its_tokens(contract, bound) -> None:
    assert answer_token_bound(contract) == bound
    tokens = {one.prompt.parameters.max_output_tokens for one in variants(prompt(output=contract))}
    assert tokens == {512 if bound is None else bound}


def test_a_prompt_that_is_as_short_as_can_be_has_no_variant_on_its_model() -> None:
    bare = prompt(0, tokens=8, system_prompt="Say it.")
    assert variants(bare) == ()
    assert [one.change for one in variants(bare, ["b/small"])] == ["tight text, b/small"]


@dataclass(frozen=True)
class Point:
    score: float
    cost_nano_usd: int


POINTS = st.lists(st.builds(Point, st.integers(0, 6).map(float), st.integers(0, 6)), max_size=20)


@given(POINTS)
def test_the_front_holds_exactly_what_nothing_beats(points: list[Point]) -> None:
    def beaten(one: Point) -> bool:
        return any(
            other.score >= one.score and other.cost_nano_usd <= one.cost_nano_usd and other != one for other in points
        )

    front = pareto_front(points)
    assert set(front) == {one for one in points if not beaten(one)}
    assert list(front) == sorted(front, key=lambda one: one.cost_nano_usd)
