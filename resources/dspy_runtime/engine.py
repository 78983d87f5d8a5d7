"""A DSPy engine over the execution core: lm15's request and response on one side, ours on the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Literal

from domain.message import Message, Role
from domain.prompt import PromptVersion
from resources.dspy_runtime.calls import PROPOSAL_MAX_OUTPUT_TOKENS, Draw, RunCalls
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.program import current_task
from resources.llm.prompt_request import build_request
from resources.llm.types import Request

PROPOSAL_TEMPERATURE = 1.0

_FINISH_REASONS: dict[str, Literal["stop", "length", "content_filter"]] = {
    "stop": "stop",
    "length": "length",
    "refusal": "content_filter",
    "other": "stop",
}

_ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "developer": "system"}

MakeRequest = Callable[[tuple[Message, ...], dspy.lm15.Config], Request]


@dataclass(slots=True)
class _LmCall:
    """The DSPy call under way: its rollout, how many answers it wants and how many it has had."""

    rollout_id: int | None = None
    wanted: int = 1
    answered: int = 0

    def next_draw(self) -> Draw:
        draw = Draw(self.rollout_id, self.answered)
        self.answered += 1
        return draw

    def draws_to_come(self) -> list[Draw]:
        return [Draw(self.rollout_id, index) for index in range(self.answered, self.wanted)]


_CURRENT_CALL: ContextVar[_LmCall | None] = ContextVar("promptory_lm_call", default=None)


class DrawCapture(dspy.utils.BaseCallback):
    """Notes each call's rollout id, which DSPy strips, and starts counting the answers the call asks for.

    A call for n answers reaches the engine as n equal requests; without the count they would be one.
    """

    def on_lm_start(self, call_id: str, instance: Any, inputs: dict[str, Any]) -> None:  # noqa: ARG002 (DSPy passes it)
        own = inputs.get("kwargs") or {}
        rollout_id, wanted = (own.get(name, instance.kwargs.get(name)) for name in ("rollout_id", "n"))
        _CURRENT_CALL.set(_LmCall(rollout_id, wanted or 1))


class CoreEngine:
    """Answers lm15 requests through a run's calls. It declares no capability: DSPy then asks for plain text only."""

    def __init__(self, calls: RunCalls, make_request: MakeRequest) -> None:
        self._calls = calls
        self._make_request = make_request

    def complete(self, request: dspy.lm15.Request) -> dspy.lm15.Response:
        """One answer.

        Raises:
            OptimizationHalted: there is none.
        """
        call = _CURRENT_CALL.get() or _LmCall()
        own = self._make_request(_messages(request), request.config)
        draw = call.next_draw()
        if draw.index == 0:  # DSPy asks for one after the other
            self._calls.ask_ahead(own, call.draws_to_come(), current_task())
        answer = self._calls.answer(own, draw, current_task())
        return dspy.lm15.Response(
            id=answer["call_id"],
            model=answer["model"],
            message=dspy.lm15.Message.assistant(answer["text"]),
            finish_reason=_FINISH_REASONS[answer["finish_reason"]],
            usage=dspy.lm15.Usage(input_tokens=answer["input_tokens"], output_tokens=answer["output_tokens"]),
        )


class AsyncCoreEngine:
    """The same for DSPy's asynchronous calls, in a thread of its own each."""

    def __init__(self, engine: CoreEngine) -> None:
        self._engine = engine

    async def complete(self, request: dspy.lm15.Request) -> dspy.lm15.Response:
        """See `CoreEngine.complete`."""
        return await asyncio.to_thread(self._engine.complete, request)


def task_lm(calls: RunCalls, prompt: PromptVersion) -> dspy.LM:
    """The LM of a prompt's own steps: its model and parameters, and the temperature an optimizer may ask for."""

    def make_request(messages: tuple[Message, ...], config: dspy.lm15.Config) -> Request:
        request = build_request(prompt, messages)
        return request if config.temperature is None else replace(request, temperature=config.temperature)

    return _lm("promptory/task", CoreEngine(calls, make_request), prompt.parameters.temperature)


def proposal_lm(calls: RunCalls, model: str) -> dspy.LM:
    """The LM of an optimizer's own predictors, which write instructions; `model` is `provider/name`."""

    def make_request(messages: tuple[Message, ...], config: dspy.lm15.Config) -> Request:
        return Request(
            model=model,
            messages=messages,
            max_output_tokens=config.max_tokens or PROPOSAL_MAX_OUTPUT_TOKENS,
            temperature=PROPOSAL_TEMPERATURE if config.temperature is None else config.temperature,
            top_p=config.top_p,
            stop=config.stop,
        )

    return _lm("promptory/proposal", CoreEngine(calls, make_request), PROPOSAL_TEMPERATURE)


def _lm(name: str, engine: CoreEngine, temperature: float) -> dspy.LM:
    # Its name is ours: DSPy derives rules, prices and refusals from the names of models it believes it knows.
    return dspy.LM(
        name,
        engine=engine,
        async_engine=AsyncCoreEngine(engine),
        cache=False,
        num_retries=0,
        temperature=temperature,
        callbacks=[DrawCapture()],
    )


def _messages(request: dspy.lm15.Request) -> tuple[Message, ...]:
    system = request.system
    if system is not None and not isinstance(system, str):
        system = "\n".join(_text(part) for part in system)
    first = [Message("system", system)] if system is not None else []
    turns = (
        Message(_ROLES[message.role], "\n".join(_text(part) for part in message.parts)) for message in request.messages
    )
    return (*first, *turns)


def _text(part: Any) -> str:
    if not isinstance(part, dspy.lm15.TextPart):
        raise TypeError(f"a {part.type} part cannot be sent: the execution core carries text only")
    return part.text
