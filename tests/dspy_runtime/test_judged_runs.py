"""A judge as an optimizer's metric: its calls are the run's own, and what it fails on is never a score."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dspy_runtime.scripted import (
    RUN_ID,
    SEARCHES,
    THREADS,
    WORDS,
    MemoryJournal,
    ScriptedModel,
    is_proposal,
    label_of,
    run,
)
from dspy_runtime.test_killed_runs import KILLS, check_kills_change_nothing
from dspy_runtime.test_over_http import Whole, check_half_the_money, check_plan, check_sealed, run_whole
from dspy_runtime.workbench import JUDGE, TARIFFS, TASK, answers, purpose_of
from servers.openai_server import OpenAIServer

from domain.dataset import Split
from domain.errors import EvaluatorError, FaultClass, ProviderError, UnansweredError
from domain.evaluators.judge_spec import JudgeSpec
from domain.optimization import BootstrapFewShotSpec, GepaSpec, OptimizerSpec, RandomSearchSpec
from domain.prompt import PromptParameters
from resources.catalog.catalog import Catalog
from resources.database.repositories import ledger
from resources.evaluation.evaluate import EvaluationEngine
from resources.llm import open_client
from resources.llm.types import CallContext, Completion, Request

SPEC = JudgeSpec.model_validate(JUDGE)
SEARCH = RandomSearchSpec(candidates=3, max_bootstrapped=2, max_labeled=5, threads=THREADS)
REFLECTING = GepaSpec(max_rows=90, threads=THREADS)


def grade(request: Request) -> str:
    """Full marks for the right label."""
    asked = request.messages[-1].content
    word = next(word for word in WORDS if f"about {word}" in asked)
    answer = asked.partition("<answer>\n")[2].partition("\n</answer>")[0]
    return json.dumps({"reason": f"it is {label_of(word)}", "grade": 5 if answer == label_of(word) else 1})


class Judged(ScriptedModel):
    """The scripted model, and a judge that says what `judge` says of its request and of how often that was asked."""

    def __init__(self, judge: Callable[[Request, int], str] = lambda request, _again: grade(request)) -> None:
        super().__init__()
        self._judge = judge
        self._asked: Counter[str] = Counter()
        self._counting = threading.Lock()

    def text(self, request: Request) -> str:
        if request.model != SPEC.model:
            return super().text(request)
        with self._counting:
            self._asked[request.messages[-1].content] += 1
            again = self._asked[request.messages[-1].content]
        return self._judge(request, again)

    @property
    def judging(self) -> list[tuple[Request, CallContext]]:
        """The judge's calls."""
        return [(request, context) for request, context in self.asked if request.model == SPEC.model]


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(one, id=one.kind, marks=[] if isinstance(one, RandomSearchSpec | GepaSpec) else pytest.mark.slow)
        for one in SEARCHES
    ],
)
def test_a_judged_run_keeps_to_its_plan_its_rows_and_its_cap(spec: OptimizerSpec, tmp_path: Path) -> None:
    with OpenAIServer(behaviour=answers, tariffs=TARIFFS) as server:
        whole = run_whole(spec, tmp_path / "whole", server, metric=JUDGE)
    assert (whole.record.status, whole.record.stop_reason) == ("finished", None)
    assert whole.record.dev_score == max(one["dev_score"] for one in whole.record.candidates)
    assert any(line.purpose == "judge" for line in whole.plan.lines)
    check_plan(whole)
    check_sealed(whole)
    check_books(whole)
    with OpenAIServer(behaviour=answers, tariffs=TARIFFS) as server:
        check_half_the_money(whole, tmp_path / "half", server)
        assert Counter(map(purpose_of, server.requests))["judge"] > 0


def check_books(whole: Whole) -> None:
    """Judgements are calls of the run, charged to it and told apart; what answers cost is shown without them."""
    judged = [line for line, body in zip(whole.server.invoice, whole.server.requests, strict=True) if is_judge(body)]
    assert whole.told[-1].spent_nano_usd == whole.server.invoice_nano_usd()
    with whole.bench.database() as database, database.session(read_only=True) as session:
        calls = [
            one for one in ledger.calls_of_run(session, whole.record.id) if one.purpose == "judge" and not one.cached
        ]
    assert sum(one.cost_nano_usd for one in calls) == sum(line.nano_usd for line in judged) > 0
    assert {(one.run_id, one.step) for one in calls} == {(whole.record.id, "judge:judge")}
    assert all(one.prompt_version_id and one.row_id for one in calls)
    answered = whole.server.invoice_nano_usd() - sum(line.nano_usd for line in judged)
    assert all(0 < one["dev_cost_nano_usd"] < answered for one in whole.record.candidates)


def is_judge(body: dict[str, object]) -> bool:
    return body["model"] == "judge"


def test_an_evaluation_sends_a_judge_what_the_optimizer_sent_it(tmp_path: Path) -> None:
    with OpenAIServer(behaviour=answers, tariffs=TARIFFS) as server:
        whole = run_whole(SEARCH, tmp_path, server, metric=JUDGE)
        optimized = {body for body, value in zip(server.bodies, server.requests, strict=True) if is_judge(value)}
        asked = len(server.bodies)
        bench = replace(whole.bench, cache=False)
        best = bench.version(whole.record.result_prompt_version_id or "")
        task = Catalog(bench.folder / "catalog").get(TASK).task

        async def evaluate() -> float:
            with bench.database() as database:
                async with open_client(bench.settings(task, whole.record.id)) as llm:
                    engine = EvaluationEngine(
                        task=task,
                        dataset=bench.dataset(database),
                        database=database,
                        root=bench.storage,
                        llm=llm,
                        clock=lambda: datetime.now(UTC),
                    )
                    return (await engine.evaluate(best.prompt, Split.DEV)).record.score

        assert asyncio.run(evaluate()) == pytest.approx(whole.record.dev_score)
        again = [body for body in server.bodies[asked:] if is_judge(json.loads(body))]
        assert again
        assert set(again) <= optimized


def test_a_kill_changes_nothing_of_a_judged_run(tmp_path: Path) -> None:
    check_kills_change_nothing(SEARCH, tmp_path, kills=1, seed=3, metric=JUDGE)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("spec", SEARCHES, ids=lambda spec: spec.kind)
def test_kills_change_nothing_of_a_judged_run(spec: OptimizerSpec, tmp_path: Path) -> None:
    check_kills_change_nothing(spec, tmp_path, kills=KILLS, seed=KILLS, metric=JUDGE)


def test_gepa_is_told_why_and_dev_rows_stay_between_the_judge_and_the_run() -> None:
    model = Judged(lambda request, _: grade(request).replace("it is", f"verdict-{row_of(request)}"))
    run(REFLECTING, model, evaluator=SPEC)
    written = "\n".join(request.messages[-1].content for request in model.requests if is_proposal(request))
    assert "Why: 1: verdict-train" in written
    assert "verdict-dev" not in written
    judged = "\n".join(request.messages[-1].content for request, _ in model.judging)
    assert "canary-dev-" in judged


def row_of(request: Request) -> str:
    return "train" if "canary-train" in request.messages[-1].content else "dev"


def test_its_calls_are_the_runs_and_the_same_answer_is_judged_once() -> None:
    model = Judged()
    result = run(SEARCH, model, evaluator=SPEC)
    assert result.best_dev_score is not None
    assert result.baseline_dev_score is not None
    assert result.best_dev_score > result.baseline_dev_score
    asked = [request.messages for request, _ in model.judging]
    assert len(set(asked)) == len(asked)
    for request, context in model.judging:
        assert (context.purpose, context.step, context.run_id) == ("judge", "judge:judge", RUN_ID)
        assert context.scopes == ("day", "task:tickets", f"run:{RUN_ID}")
        assert not context.allow_fallback
        assert request.sample is None, "the answer an evaluation asks for"
    assert not any("hard to say" in request.messages[-1].content for request, _ in model.judging), "breaks its contract"


def test_several_judgements_count_as_their_mean() -> None:
    spec = SPEC.model_copy(update={"samples": 2, "parameters": PromptParameters(temperature=0.7, max_output_tokens=40)})

    def undecided(request: Request, _again: int) -> str:
        return json.dumps({"reason": "-", "grade": 1 if (request.sample or 0) % 2 else 5})

    model = Judged(undecided)
    result = run(BootstrapFewShotSpec(threads=THREADS), model, evaluator=spec)
    assert {request.sample for request, _ in model.judging} == {1_000, 1_001}, "draws of the run's own"
    assert result.best_dev_score is not None
    assert result.best_dev_score <= 0.5


def never_readable(request: Request, _again: int) -> str:
    return "I would rather not say." if "canary-dev-3 " in request.messages[-1].content else grade(request)


def test_a_judge_that_gives_no_grade_ends_the_run_and_scores_nothing() -> None:
    model, journal = Judged(never_readable), MemoryJournal()
    with pytest.raises(EvaluatorError, match="no readable grade of an answer to row dev-3, asked 3 times") as caught:
        run(SEARCH, model, journal, evaluator=SPEC)
    assert "starts a new run" in (caught.value.mend or "")
    unread = [request for request, context in model.judging if context.row_id == "dev-3"]
    assert len(unread) == 3
    assert len({request.sample for request in unread}) == 3, "draws of their own, that no cache answers"
    again = Judged(never_readable)
    with pytest.raises(EvaluatorError, match="dev-3"):
        run(SEARCH.model_copy(update={"threads": 1}), again, journal, evaluator=SPEC)
    assert not [request for request, context in again.judging if context.row_id == "dev-3"], "that is paid for"


@pytest.mark.parametrize("spec", SEARCHES, ids=lambda spec: spec.kind)
def test_no_optimizer_swallows_a_judge_that_gives_no_grade(spec: OptimizerSpec) -> None:
    class LosesItsTongue(Judged):
        def text(self, request: Request) -> str:
            lost = request.model == SPEC.model and len(self.judging) > 16
            return "…" if lost else super().text(request)

    model = LosesItsTongue()
    with pytest.raises(EvaluatorError, match="no readable grade"):
        run(spec, model, evaluator=SPEC)
    # 3 tries in each thread, SIMBA's scoring alongside among them: whoever has none of them left ends it for all.
    assert len(model.judging) <= 16 + 3 * 2 * THREADS


def test_a_judge_that_finds_its_words_is_heard() -> None:
    def stammers(request: Request, again: int) -> str:
        return grade(request) if again > 1 else "Well…"

    result = run(SEARCH, Judged(stammers), evaluator=SPEC)
    plain = run(SEARCH, Judged(), evaluator=SPEC)
    assert result.best.id == plain.best.id
    assert [one.dev_score for one in result.candidates] == [one.dev_score for one in plain.candidates]


class Refused(Judged):
    """The judge's provider raises `error` from its n-th request on."""

    def __init__(self, error: Exception, after: int) -> None:
        super().__init__()
        self.refused = 0
        self._error = error
        self._after = after

    def __call__(self, request: Request, context: CallContext) -> Completion:
        if request.model == SPEC.model and len(self.judging) >= self._after:
            self.refused += 1
            raise self._error
        return super().__call__(request, context)


@pytest.mark.parametrize("spec", SEARCHES, ids=lambda spec: spec.kind)
def test_a_cap_reached_while_judging_ends_the_run_with_the_best_so_far(spec: OptimizerSpec) -> None:
    # On 20 dev rows the prompt it starts from gives 14 answers that can be judged; some search on while these are.
    after = {"bootstrap_few_shot": 21, "simba": 35}.get(spec.kind, 14)
    model, journal = Refused(UnansweredError("no answer", reason="budget_exhausted"), after), MemoryJournal()
    result = run(spec, model, journal, evaluator=SPEC, budget_left=lambda: False)
    assert result.stop_reason == "run_budget"
    assert 0 < model.refused <= THREADS
    assert result.best_dev_score is not None
    again = Judged()
    assert run(spec, again, journal, evaluator=SPEC).best.id == result.best.id
    assert again.requests == []


def test_an_outage_of_the_judge_pauses_the_run_and_it_goes_on() -> None:
    journal = MemoryJournal()
    model = Refused(UnansweredError("no answer", reason="circuit_open"), after=25)
    with pytest.raises(UnansweredError):
        run(SEARCH, model, journal, evaluator=SPEC)
    resumed = Judged()
    result = run(SEARCH, resumed, journal, evaluator=SPEC)
    assert result.best.id == run(SEARCH, Judged(), evaluator=SPEC).best.id
    asked = [json.dumps([one.messages, one.sample], default=str) for one in (*model.requests, *resumed.requests)]
    assert len(set(asked)) == len(asked)


def test_what_the_judges_provider_refuses_is_asked_three_times_in_all() -> None:
    journal = MemoryJournal()
    model = Refused(ProviderError("not about this", fault=FaultClass.REFUSED), after=10)
    with pytest.raises(EvaluatorError, match="1 of 1 judgements failed: not about this"):
        run(SEARCH.model_copy(update={"threads": 1}), model, journal, evaluator=SPEC)
    assert model.refused == 3
    with pytest.raises(EvaluatorError, match="not about this"):
        run(SEARCH.model_copy(update={"threads": 1}), Judged(), journal, evaluator=SPEC)


def test_a_wrong_key_of_the_judge_is_told_as_such() -> None:
    model = Refused(ProviderError("wrong key", fault=FaultClass.AUTHENTICATION), after=0)
    with pytest.raises(ProviderError, match="wrong key"):
        run(SEARCH, model, evaluator=SPEC)
    assert model.refused <= THREADS
