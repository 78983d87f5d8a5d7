"""The engine between DSPy's requests and ours."""

from __future__ import annotations

import itertools
import threading

import pytest
from dspy_runtime.scripted import MemoryJournal, completion, ticket_prompt

from resources.dspy_runtime.calls import PROPOSAL_MAX_OUTPUT_TOKENS, Completer, RunCalls
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.engine import proposal_lm, task_lm
from resources.dspy_runtime.halting import OptimizationHalted
from resources.dspy_runtime.journal import Journal
from resources.dspy_runtime.progress import ProgressReport
from resources.llm.types import CallContext, Completion, Request


class Counting:
    def __init__(self, finish_reason="stop") -> None:
        self.requests: list[Request] = []
        self._numbers = itertools.count(1)
        self._finish_reason = finish_reason

    def __call__(self, request: Request, context: CallContext):
        self.requests.append(request)
        number = next(self._numbers)
        return completion(f"answer {number}", number, request.model, self._finish_reason)


def writer(model: Completer) -> dspy.LM:
    calls = RunCalls(model, Journal(MemoryJournal(), "run"), CallContext(), ProgressReport(None, 0))
    return proposal_lm(calls, "openai/writer")


def test_several_answers_to_one_call_are_several_samples() -> None:
    model = Counting()
    lm = writer(model)
    answers = lm("hello", n=3)
    assert sorted(answers) == ["answer 1", "answer 2", "answer 3"]
    assert sorted(request.sample or 0 for request in model.requests) == [0, 1, 2]
    assert lm("hello", n=3) == answers, "asked again, the run has them already"


def test_several_answers_to_one_call_are_asked_for_at_once() -> None:
    together = threading.Barrier(3, timeout=10)

    def meeting(request: Request, context: CallContext) -> Completion:
        together.wait()
        return completion(f"sample {request.sample}", 1, request.model)

    assert writer(meeting)("hello", n=3) == ["sample 0", "sample 1", "sample 2"]


def test_one_of_several_answers_that_fails_ends_the_run() -> None:
    def failing(request: Request, context: CallContext) -> Completion:
        if request.sample == 2:
            raise RuntimeError("the model is away")
        return completion("text", 1, request.model)

    with pytest.raises(OptimizationHalted):
        writer(failing)("hello", n=3)


def test_rollouts_are_captured_from_the_call_and_from_the_copy() -> None:
    model = Counting()
    lm = writer(model)
    texts = [lm("hello", rollout_id=7), lm.copy(rollout_id=8)("hello"), lm("hello"), lm.copy(rollout_id=7)("hello")]
    assert texts == [["answer 1"], ["answer 2"], ["answer 3"], ["answer 1"]]
    assert len({request.sample for request in model.requests}) == 3
    assert len({request.messages for request in model.requests}) == 1


def test_parameters_reach_the_request() -> None:
    model = Counting()
    lm = writer(model)
    lm("hello", temperature=0.3, max_tokens=11, top_p=0.5, stop=["x"])
    lm("hello")
    first, second = model.requests
    assert (first.temperature, first.max_output_tokens, first.top_p, first.stop) == (0.3, 11, 0.5, ("x",))
    assert (second.temperature, second.max_output_tokens, second.top_p) == (1.0, PROPOSAL_MAX_OUTPUT_TOKENS, None)
    assert {request.model for request in model.requests} == {"openai/writer"}


def test_a_typed_request_gives_a_typed_response() -> None:
    model = Counting("refusal")
    lm = writer(model)
    ask = dspy.lm15.Request(
        model=lm.model,
        system="Be brief.",
        messages=(dspy.lm15.Message.user(" a\n"), dspy.lm15.Message.assistant(""), dspy.lm15.Message.developer("b")),
    )
    response = lm(ask)
    assert response.message.text == "answer 1"
    assert response.finish_reason == "content_filter"
    assert (response.usage.input_tokens, response.usage.output_tokens) == (7, 3)
    assert [tuple(message) for message in model.requests[0].messages] == [
        ("system", "Be brief."),
        ("user", " a\n"),
        ("assistant", ""),
        ("system", "b"),
    ]


async def test_asynchronous_calls_go_the_same_way() -> None:
    model = Counting()
    lm = writer(model)
    assert await lm.acall("hello", rollout_id=4) == ["answer 1"]
    assert lm("hello", rollout_id=4) == ["answer 1"]
    assert len(model.requests) == 1


def test_pictures_are_refused() -> None:
    lm = writer(Counting())
    picture = dspy.lm15.ImagePart(url="https://example.org/a.png")
    with pytest.raises(dspy.LMError, match="text only"):
        lm(dspy.lm15.Request(model=lm.model, messages=(dspy.lm15.Message.user([picture]),)))


def test_a_halt_keeps_its_type_through_dspy() -> None:
    def refuse(request: Request, context: CallContext):
        raise TimeoutError

    calls = RunCalls(refuse, Journal(MemoryJournal(), "run"), CallContext(), ProgressReport(None, 0))
    with pytest.raises(OptimizationHalted):
        task_lm(calls, ticket_prompt())("hello")
