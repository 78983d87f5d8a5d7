"""Our renderer inside DSPy: task predictors send exactly what evaluation, batches and serving send."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from domain.message import Message
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.program import ProgramPlan, step_number

REMEMBERED_MESSAGES = 512


class StepAdapter(dspy.Adapter):
    """Renders a program's own steps and keeps their answers verbatim; leaves an optimizer's predictors to DSPy.

    There is no parsing here and hence no retry: what an answer is worth, its contract decides when it is scored.
    """

    def __init__(self, plan: ProgramPlan) -> None:
        super().__init__()
        self._plan = plan
        self._chat = dspy.ChatAdapter()

    def __call__(
        self,
        lm: Any,
        lm_kwargs: dict[str, Any],
        signature: type[dspy.Signature],
        demos: list[Any],
        inputs: dict[str, Any],
    ) -> list[dict[str, Any]]:
        number = step_number(signature)
        if number is None:
            return self._chat(lm, lm_kwargs, signature, demos, inputs)
        fields = self._plan.fields.steps[number]
        renderer = self._plan.versions.renderer(number, self._plan.state(number, signature, demos))
        row = {name: inputs[field] for name, field in fields.inputs.items() if field in inputs}
        request = _lm_request(lm, lm_kwargs, renderer.render(row))
        rollout = {"rollout_id": lm_kwargs["rollout_id"]} if "rollout_id" in lm_kwargs else {}
        return [{fields.output: lm(request, **rollout).message.text}]


def _lm_request(lm: Any, lm_kwargs: dict[str, Any], messages: Sequence[Message]) -> dspy.lm15.Request:
    if lm_kwargs.get("n", 1) != 1:
        raise ValueError("a step gives one answer per call; ask for several with several rollout ids")
    system = messages[0].content if messages[0].role == "system" else None
    turns = messages[1:] if system is not None else messages
    return dspy.lm15.Request(
        model=lm.model,
        messages=(*map(_remembered, turns[:-1]), _lm_message(turns[-1])),
        system=system,
        config=dspy.lm15.Config(temperature=lm_kwargs.get("temperature", lm.kwargs.get("temperature"))),
    )


def _lm_message(message: Message) -> dspy.lm15.Message:
    make = dspy.lm15.Message.assistant if message.role == "assistant" else dspy.lm15.Message.user
    return make(message.content)


# Demonstrations are the same for every row; building and validating their messages costs more than rendering the row.
_remembered = lru_cache(REMEMBERED_MESSAGES)(_lm_message)
