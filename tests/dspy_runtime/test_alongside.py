"""What runs make of the time in which an optimizer waits: the same calls, never more at once than `threads`."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import pytest
from dspy_runtime.scripted import SEARCHES, MemoryJournal, ScriptedModel, completion, metric, run, undisturbed

from domain.optimization import RandomSearchSpec
from resources.dspy_runtime.calls import Draw, RunCalls, with_what_is_known
from resources.dspy_runtime.halting import OptimizationHalted
from resources.dspy_runtime.journal import Journal
from resources.dspy_runtime.optimizers import random_search
from resources.dspy_runtime.progress import ProgressReport
from resources.llm.types import CallContext, Completion, Message, Request

THREADS = 3


class Crowd:
    """Counts how many calls are under way; answers each a moment after so many of them have met."""

    def __init__(self, meets: int = 1) -> None:
        self._meets = meets
        self._met = threading.Event()
        self.asked = 0
        self.most = 0
        self._now = 0
        self._lock = threading.Lock()

    def __call__(self, request: Request, context: CallContext) -> Completion:
        with self._lock:
            self.asked += 1
            self._now += 1
            self.most = max(self.most, self._now)
            if self._now >= self._meets:
                self._met.set()
        self._met.wait(20)
        time.sleep(0.005)
        with self._lock:
            self._now -= 1
        return completion("text", 1, request.model)


def door(model: Crowd) -> RunCalls:
    calls = RunCalls(model, Journal(MemoryJournal(), "run"), CallContext(), ProgressReport(None, 0))
    calls.limit(THREADS)
    return calls


def asking(text: str) -> Request:
    return Request("openai/m", (Message("user", text),), 8, 0.0)


def test_no_more_calls_are_under_way_at_once_than_the_stage_has_threads() -> None:
    model = Crowd(meets=THREADS)
    calls = door(model)
    crowd = [
        threading.Thread(target=calls.answer, args=(asking(f"row {number}"), Draw(), None)) for number in range(12)
    ]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert (model.asked, model.most) == (12, THREADS)


def test_who_waits_for_room_asks_nothing_once_the_call_before_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Request] = []

    def failing(request: Request, context: CallContext) -> Completion:
        asked.append(request)
        time.sleep(0.05)  # the others come to wait
        raise ValueError("the model is away")

    calls = RunCalls(failing, Journal(MemoryJournal(), "run"), CallContext(), ProgressReport(None, 0))
    calls.limit(1)
    halt = calls.halt

    def halt_late(error: BaseException) -> None:
        time.sleep(0.05)
        halt(error)

    monkeypatch.setattr(calls, "halt", halt_late)

    def work(text: str) -> None:
        with suppress(OptimizationHalted):
            calls.answer(asking(text), Draw(), None)

    crowd = [threading.Thread(target=work, args=(f"row {number}",)) for number in range(3)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert len(asked) == 1


def test_after_a_halt_a_job_alongside_gets_what_is_known_and_nothing_more() -> None:
    model = Crowd()
    calls = door(model)
    calls.answer(asking("known"), Draw(), None)
    calls.halt(KeyboardInterrupt())
    with pytest.raises(OptimizationHalted):
        calls.answer(asking("known"), Draw(), None)

    def job() -> None:
        given.append(calls.answer(asking("known"), Draw(), None)["text"])
        calls.answer(asking("new"), Draw(), None)

    given: list[str] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            with_what_is_known(job)
        except OptimizationHalted as error:
            failure.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert (given, len(failure), model.asked) == (["text"], 1, 1)


def test_sets_bootstrapped_at_once_ask_nothing_that_dspy_does_not_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were DSPy to draw its sets otherwise, this is where it would show."""
    spec = next(one for one in SEARCHES if isinstance(one, RandomSearchSpec))
    model, result = undisturbed(spec.kind)
    monkeypatch.setattr(random_search, "_draws", lambda _spec, _setting: iter(()))
    plain = ScriptedModel()
    assert run(spec, plain, evaluator=metric()).best.id == result.best.id
    assert {one.messages for one in model.requests} == {one.messages for one in plain.requests}
    assert len(model.requests) == len(plain.requests)
