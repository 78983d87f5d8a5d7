"""Cheaper variants of a prompt, and which of them are worth their price."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from domain.contracts import ChoiceContract, NumberContract, OutputContract
from domain.prompt import Demonstration, PromptStep, PromptVersion

KEPT_SHARES = (0.75, 0.5, 0.25, 0.0)
NUMBER_TOKENS = 32
_SLACK_TOKENS = 4
_SPACES = re.compile(r"[ \t]{2,}")
_BLANK_LINES = re.compile(r"\n{3,}")


@dataclass(frozen=True, slots=True)
class Variant:
    """A prompt that should cost less than the one it was made from; `change` says in what."""

    prompt: PromptVersion
    change: str


class Priced(Protocol):
    """Something with a quality and a price."""

    @property
    def score(self) -> float:
        """Higher is better."""
        ...

    @property
    def cost_nano_usd(self) -> int:
        """Lower is better."""
        ...


AnyPriced = TypeVar("AnyPriced", bound=Priced)


def variants(prompt: PromptVersion, models: Sequence[str] = ()) -> tuple[Variant, ...]:
    """Cheaper variants, without repeats and without the prompt itself: text, demonstrations, answer length, model.

    All have the white space of their system prompts tightened and, where the contract bounds the answer,
    `max_output_tokens` cut to that bound. Demonstrations are dropped by shares, first so that every answer keeps its
    examples as long as possible, then those with the longest text.
    """
    found: dict[str, Variant] = {}
    for model in dict.fromkeys((prompt.model, *models)):
        for shown, change in _with_fewer_demonstrations(_tightened(prompt)):
            on_model = PromptVersion(steps=shown.steps, model=model, parameters=shown.parameters)
            told = change if model == prompt.model else f"{change}, {model}"
            if on_model.id != prompt.id:
                found.setdefault(on_model.id, Variant(on_model, told))
    return tuple(found.values())


def pareto_front(candidates: Sequence[AnyPriced]) -> tuple[AnyPriced, ...]:
    """Those that no other beats in score or cost without being worse in the other; the cheapest first."""
    front: list[AnyPriced] = []
    for one in sorted(candidates, key=lambda one: (one.cost_nano_usd, -one.score)):
        if not front or one.score > front[-1].score:
            front.append(one)
    return tuple(front)


def answer_token_bound(contract: OutputContract) -> int | None:
    """Tokens an answer that meets the contract can need at most; None where nothing bounds it.

    No tokenizer makes more tokens of a text than it has bytes.
    """
    if contract.reasoning:
        return None
    if isinstance(contract, ChoiceContract):
        return max(len(label.encode("utf-8")) for label in contract.choices) + _SLACK_TOKENS
    return NUMBER_TOKENS if isinstance(contract, NumberContract) else None


def _tightened(prompt: PromptVersion) -> PromptVersion:
    steps = tuple(step.model_copy(update={"system_prompt": _tight(step.system_prompt)}) for step in prompt.steps)
    bounds = [answer_token_bound(step.output) for step in prompt.steps]
    most = prompt.parameters.max_output_tokens
    known = [bound for bound in bounds if bound is not None]
    if len(known) == len(bounds):
        most = min(most, max(known))
    parameters = prompt.parameters.model_copy(update={"max_output_tokens": most})
    return PromptVersion(steps=steps, model=prompt.model, parameters=parameters)


def _tight(text: str) -> str:
    lines = "\n".join(_SPACES.sub(" ", line).strip() for line in text.splitlines())
    return _BLANK_LINES.sub("\n\n", lines).strip()


def _with_fewer_demonstrations(prompt: PromptVersion) -> Iterator[tuple[PromptVersion, str]]:
    yield prompt, "tight text"
    most = max(len(step.demonstrations) for step in prompt.steps)
    for share in KEPT_SHARES if most else ():
        kept = round(share * most)
        yield prompt.with_steps(tuple(_keeping(step, share, _spread_out) for step in prompt.steps)), f"{kept} examples"
        if 0 < kept < most:
            steps = tuple(_keeping(step, share, _shortest) for step in prompt.steps)
            yield prompt.with_steps(steps), f"{kept} shortest examples"


def _keeping(step: PromptStep, share: float, order: _Order) -> PromptStep:
    kept = set(order(step.demonstrations)[: round(share * len(step.demonstrations))])
    shown = tuple(one for position, one in enumerate(step.demonstrations) if position in kept)
    return step.model_copy(update={"demonstrations": shown})


class _Order(Protocol):
    def __call__(self, demonstrations: Sequence[Demonstration], /) -> list[int]: ...


def _spread_out(demonstrations: Sequence[Demonstration]) -> list[int]:
    """Positions, the first of every answer before the second of any."""
    seen: dict[str, int] = {}
    ranks: list[tuple[int, int]] = []
    for position, one in enumerate(demonstrations):
        ranks.append((seen.get(one.output, 0), position))
        seen[one.output] = seen.get(one.output, 0) + 1
    return [position for _, position in sorted(ranks)]


def _shortest(demonstrations: Sequence[Demonstration]) -> list[int]:
    sizes = [sum(map(len, one.inputs.values())) + len(one.output) for one in demonstrations]
    return sorted(range(len(demonstrations)), key=lambda position: (sizes[position], position))
