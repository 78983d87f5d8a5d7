"""Runs all steps of a prompt version for one row."""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from domain.dataset import Row
from domain.errors import OutputParseError
from domain.pipeline import step_value
from domain.prompt import PromptVersion
from domain.rendering import StepRenderer
from resources.evaluation.answers import Answer
from resources.llm.prompt_request import build_request
from resources.llm.types import CallContext, Completion, Request


class Completer(Protocol):
    """The part of the execution core's client that answering needs."""

    async def complete(self, request: Request, context: CallContext) -> Completion:
        """One call.

        Raises:
            UnansweredError: no answer, and the context allows no fallback.
            ProviderError: the provider refuses the request itself.
        """
        ...


class PromptRunner:
    """One prompt version, rendered once, for any number of rows. Calls get no fallback: none may be scored."""

    def __init__(self, llm: Completer, prompt: PromptVersion, context: CallContext, sample: int | None = None) -> None:
        self._llm = llm
        self._prompt = prompt
        self._sample = sample
        self._context = replace(context, prompt_version_id=prompt.id, allow_fallback=False)
        self._steps = [(step, StepRenderer(step)) for step in prompt.steps]

    async def run(self, row: Row) -> tuple[Answer, list[Completion]]:
        """The row's answer (the last step's text) and the completions of all steps made for it.

        A step whose answer breaks its contract ends the row there, with an empty answer, which scores 0 and names it.

        Raises:
            UnansweredError: the core got no answer.
            ProviderError: the provider refuses the request itself.
            TemplateError: the row does not fill a template.
        """
        fields = dict(row.inputs)
        completions: list[Completion] = []
        for step, renderer in self._steps:
            request = build_request(self._prompt, renderer.render(fields), self._sample)
            context = replace(self._context, step=step.name, row_id=row.row_id)
            completions.append(await self._llm.complete(request, context))
            if len(completions) == len(self._steps):
                break
            try:
                fields[step.name] = step_value(step.output, completions[-1].text)
            except OutputParseError:
                return _answer(row, completions, "", broken_step=step.name), completions
        return _answer(row, completions, completions[-1].text), completions


def _answer(row: Row, completions: list[Completion], text: str, broken_step: str | None = None) -> Answer:
    last = completions[-1]
    return Answer(
        input_id=row.input_id,
        text=text,
        call_id=last.call_id,
        model=last.model,
        cost_nano_usd=sum(c.origin_cost_nano_usd for c in completions),
        latency_s=sum(c.origin_latency_s for c in completions),
        input_tokens=sum(c.usage.input_tokens for c in completions),
        output_tokens=sum(c.usage.output_tokens for c in completions),
        call_ids=tuple(c.call_id for c in completions),
        broken_step=broken_step,
    )
