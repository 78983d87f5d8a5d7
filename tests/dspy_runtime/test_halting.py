"""A call without an answer ends the run at once: with its best so far when its own cap is reached, else resumably."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from dspy_runtime.scripted import SEARCHES, THREADS, MemoryJournal, ScriptedModel, run, ticket_prompt, undisturbed

from domain.errors import StateUnavailableError, UnansweredError
from domain.optimization import BootstrapFewShotSpec, OptimizerSpec, RandomSearchSpec
from resources.dspy_runtime.journal import PROMPT_KEY
from resources.llm.types import CallContext, Completion, Request

WRITERS = [spec for spec in SEARCHES if not isinstance(spec, BootstrapFewShotSpec | RandomSearchSpec)]


class Refusing(ScriptedModel):
    """Answers the first `answers` calls and refuses the rest."""

    def __init__(self, answers: int, error: Exception) -> None:
        super().__init__()
        self.refused = 0
        self._answers = answers
        self._error = error
        self._count = threading.Lock()

    def __call__(self, request: Request, context: CallContext) -> Completion:
        with self._count:
            if len(self.requests) >= self._answers:
                self.refused += 1
                raise self._error
            return super().__call__(request, context)


def refusal(reason: str) -> UnansweredError:
    return UnansweredError("no answer", reason=reason)


def asked(spec: OptimizerSpec) -> int:
    """How many calls an undisturbed run makes."""
    return len(undisturbed(spec.kind)[0].requests)


@pytest.mark.parametrize("spec", SEARCHES, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_its_own_cap_ends_the_run_with_the_best_so_far(spec: OptimizerSpec, share: float) -> None:
    answers = int(share * asked(spec))
    model = Refusing(answers, refusal("budget_exhausted"))
    result = run(spec, model, MemoryJournal(), budget_left=lambda: False)
    assert result.stop_reason == "run_budget"
    assert model.refused <= THREADS
    # These search while the start is scored, and may then have spent their money on either.
    if answers < 20 or (spec.kind in ("bootstrap_few_shot", "simba") and not result.candidates):
        assert result.best.id == ticket_prompt().id
        assert result.best_dev_score is None
        assert result.candidates == ()
    else:
        scores = {candidate.prompt.id: candidate.dev_score for candidate in result.candidates}
        assert result.best_dev_score == max(score for score in scores.values() if score is not None)
        assert scores[result.best.id] == result.best_dev_score


@pytest.mark.parametrize("spec", SEARCHES, ids=lambda spec: spec.kind)
@pytest.mark.parametrize("share", [0.6])
def test_a_run_cut_short_stays_cut_short(spec: OptimizerSpec, share: float) -> None:
    """Its result is fixed, also when there would be budget again."""
    journal = MemoryJournal()
    answers = int(share * asked(spec))
    first = run(spec, Refusing(answers, refusal("budget_exhausted")), journal, budget_left=lambda: False)
    model = ScriptedModel()
    again = run(spec, model, journal, budget_left=lambda: True)
    assert model.requests == []
    assert again.stop_reason == "run_budget"
    assert again.best.id == first.best.id
    assert {one.prompt.id for one in again.candidates} == {one.prompt.id for one in first.candidates}


@pytest.mark.parametrize(
    ("spec", "reason"),
    [*((spec, "circuit_open") for spec in SEARCHES), (SEARCHES[1], "budget_exhausted"), (SEARCHES[1], "deadline")],
    ids=str,
)
def test_any_other_refusal_pauses_the_run(spec: OptimizerSpec, reason: str) -> None:
    _, uninterrupted = undisturbed(spec.kind)
    answers = asked(spec) // 2
    journal = MemoryJournal()
    model = Refusing(answers, refusal(reason))
    with pytest.raises(UnansweredError) as caught:
        run(spec, model, journal, budget_left=lambda: True)
    assert caught.value.reason == reason
    assert model.refused <= THREADS
    assert len([key for key in journal.answers if not key.startswith(PROMPT_KEY)]) == answers
    rest = ScriptedModel()
    assert run(spec, rest, journal).best.id == uninterrupted.best.id


@pytest.mark.parametrize("spec", WRITERS, ids=lambda spec: spec.kind)
def test_a_refused_proposal_pauses_too(spec: OptimizerSpec) -> None:
    """Optimizers catch what goes wrong in a proposal and go on without it."""

    class NoWriter(ScriptedModel):
        def rule(self, request: Request) -> str:
            raise refusal("rate_limited")

    with pytest.raises(UnansweredError):
        run(spec, NoWriter())


@pytest.mark.parametrize("spec", SEARCHES, ids=lambda spec: spec.kind)
def test_other_failures_are_raised_as_they_are(spec: OptimizerSpec) -> None:
    with pytest.raises(StateUnavailableError):
        run(spec, Refusing(30, StateUnavailableError("the state store is away")))


def test_a_failing_metric_is_raised_and_not_scored_zero() -> None:
    class Broken:
        name = "broken"

        def score(self, expected, text, inputs):
            raise ZeroDivisionError("in the metric")

        def check_expected(self, expected):
            return None

    with pytest.raises(ZeroDivisionError, match="in the metric"):
        run(SEARCHES[1], ScriptedModel(), evaluator=Broken())


def test_nothing_goes_on_behind_the_caller() -> None:
    """Optimizers leave worker threads behind; when the run has ended, so have its calls."""
    under_way = threading.Semaphore(0)
    release = threading.Event()
    numbers = itertools.count()
    finished: list[int] = []

    class Slow(ScriptedModel):
        def __call__(self, request: Request, context: CallContext) -> Completion:
            number = next(numbers)
            answer = super().__call__(request, context)
            if number == 2:
                under_way.acquire()
                release.set()
                raise refusal("deadline")
            if number == 1:
                under_way.release()
                release.wait(5)
                time.sleep(0.05)
            finished.append(number)
            return answer

    model = Slow()
    with pytest.raises(UnansweredError):
        run(SEARCHES[1], model)
    ended, asked = len(finished), len(model.requests)
    assert ended == asked - 1
    time.sleep(0.1)
    assert (len(finished), len(model.requests)) == (ended, asked)
