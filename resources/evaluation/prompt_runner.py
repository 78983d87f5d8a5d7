"""Runs all steps of a prompt version for one row."""

from __future__ import annotations

from collections.abc import Mapping
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
    """One prompt version, rendered once, for any number of rows.

    Args:
        allow_fallback: False where answers are scored: no fallback may be. Where one is allowed, a step that falls back
            ends the row.
    """

    def __init__(
        self,
        llm: Completer,
        prompt: PromptVersion,
        context: CallContext,
        sample: int | None = None,
        *,
        allow_fallback: bool = False,
    ) -> None:
        self._llm = llm
        self._prompt = prompt
        self._sample = sample
        self._context = replace(context, prompt_version_id=prompt.id, allow_fallback=allow_fallback)
        self._steps = [(step, StepRenderer(step)) for step in prompt.steps]

    async def run(self, row: Row) -> tuple[Answer, list[Completion]]:
        """The row's answer (the last step's text) and the completions of all steps made for it.

        A step whose answer breaks its contract ends the row there, with an empty answer, which scores 0 and names it.

        Raises:
            UnansweredError: the core got no answer.
            ProviderError: the provider refuses the request itself.
            TemplateError: the row does not fill a template.
        """
        completions, broken_step = await self.ask(row.row_id, row.inputs)
        text = completions[-1].text if broken_step is None else ""
        return _answer(row, completions, text, broken_step), completions

    async def ask(self, row_id: str, inputs: Mapping[str, str]) -> tuple[list[Completion], str | None]:
        """The completions of the steps that were asked, and the step whose answer broke its contract, if one did.

        Raises:
            UnansweredError, ProviderError, TemplateError: as `run`.
        """
        fields = dict(inputs)
        completions: list[Completion] = []
        for step, renderer in self._steps:
            request = build_request(self._prompt, renderer.render(fields), self._sample)
            context = replace(self._context, step=step.name, row_id=row_id)
            completions.append(await self._llm.complete(request, context))
            if len(completions) == len(self._steps) or completions[-1].status == "fallback":
                break
            try:
                fields[step.name] = step_value(step.output, completions[-1].text)
            except OutputParseError:
                return completions, step.name
        return completions, None


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
