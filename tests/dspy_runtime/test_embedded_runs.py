"""An embedding similarity as an optimizer's metric: its vectors are the run's calls, and a refused one is no score."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dspy_runtime.scripted import SEARCHES, THREADS, MemoryJournal, ScriptedModel, run, ticket_prompt
from dspy_runtime.test_killed_runs import KILLS, check_kills_change_nothing
from dspy_runtime.test_over_http import Whole, check_bounds, check_half_the_money, check_plan, check_sealed, run_whole
from dspy_runtime.workbench import SIMILARITY, TARIFFS, TASK, answers, purpose_of
from servers.embeddings import as_base64, of_words
from servers.openai_server import OpenAIServer

from domain.contracts import TextContract
from domain.dataset import Split
from domain.errors import EvaluatorError, FaultClass, ProviderError
from domain.evaluators.embedding_spec import EmbeddingSimilaritySpec
from domain.optimization import OptimizerSpec, RandomSearchSpec, SimbaSpec
from resources.catalog.catalog import Catalog
from resources.database.repositories import ledger
from resources.evaluation.evaluate import EvaluationEngine
from resources.llm import open_client
from resources.llm.types import CallContext, Completion, Request

SPEC = EmbeddingSimilaritySpec.model_validate(SIMILARITY)
SEARCH = RandomSearchSpec(candidates=3, max_bootstrapped=2, max_labeled=5, threads=THREADS)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(one, id=one.kind, marks=[] if isinstance(one, RandomSearchSpec) else pytest.mark.slow)
        for one in SEARCHES
    ],
)
def test_a_run_by_similarity_keeps_to_its_plan_its_rows_and_its_cap(spec: OptimizerSpec, tmp_path: Path) -> None:
    with OpenAIServer(behaviour=answers, tariffs=TARIFFS) as server:
        whole = run_whole(spec, tmp_path / "whole", server, metric=SIMILARITY)
        assert (whole.record.status, whole.record.stop_reason) == ("finished", None)
        assert whole.record.dev_score == max(one["dev_score"] for one in whole.record.candidates) > 0
        planned = [line for line in whole.plan.values()["stages"] if line["purpose"] == "vectors"]
        assert {line["model"] for line in planned} == {"embeddings/vectors"}
        assert all(line["usd"]["at_most"] > line["usd"]["expected"] > 0 for line in planned)
        if isinstance(spec, SimbaSpec):
            check_bounds(whole)  # it finds nothing to propose to this model, so that its prompts stay short
        else:
            check_plan(whole)
        check_sealed(whole)
        check_books(whole)
        check_an_evaluation_asks_for_the_same_vectors(whole)
    with OpenAIServer(behaviour=answers, tariffs=TARIFFS) as server:
        check_half_the_money(whole, tmp_path / "half", server)
        assert Counter(map(purpose_of, server.requests))["vectors"] > 0


def check_books(whole: Whole) -> None:
    """Vectors are calls of the run, charged to it, each text once; what answers cost is shown without them."""
    vectors = [line for line in whole.server.invoice if line.model == "vectors"]
    asked = [body["input"] for body in whole.server.requests if purpose_of(body) == "vectors"]
    assert len(set(asked)) == len(asked) == len(vectors) > 3
    assert whole.told[-1].spent_nano_usd == whole.server.invoice_nano_usd()
    with whole.bench.database() as database, database.session(read_only=True) as session:
        calls = [one for one in ledger.calls_of_run(session, whole.record.id) if one.purpose == "judge"]
    assert sum(one.cost_nano_usd for one in calls) == whole.server.invoice_nano_usd("vectors") > 0
    assert {(one.run_id, one.step) for one in calls} == {(whole.record.id, "judge:embedding_similarity")}
    answered = whole.server.invoice_nano_usd() - whole.server.invoice_nano_usd("vectors")
    assert all(0 < one["dev_cost_nano_usd"] < answered for one in whole.record.candidates)


def check_an_evaluation_asks_for_the_same_vectors(whole: Whole) -> None:
    """And so gives the same score, on the rows the optimizer scored."""
    server = whole.server
    optimized = {body for body in server.bodies if purpose_of(json.loads(body)) == "vectors"}
    asked = len(server.bodies)
    bench = replace(whole.bench, cache=False, cap="20")
    task = Catalog(bench.folder / "catalog").get(TASK).task
    best = bench.version(whole.record.result_prompt_version_id or "")

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
    again = [body for body in server.bodies[asked:] if purpose_of(json.loads(body)) == "vectors"]
    assert again
    assert set(again) <= optimized


def test_a_kill_changes_nothing_of_a_run_by_similarity(tmp_path: Path) -> None:
    check_kills_change_nothing(SEARCH, tmp_path, kills=1, seed=5, metric=SIMILARITY)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("spec", SEARCHES, ids=lambda spec: spec.kind)
def test_kills_change_nothing_of_a_run_by_similarity(spec: OptimizerSpec, tmp_path: Path) -> None:
    check_kills_change_nothing(spec, tmp_path, kills=KILLS, seed=KILLS, metric=SIMILARITY)


class Embedding(ScriptedModel):
    """The scripted model, and vectors; the provider refuses texts that hold `refused`."""

    def __init__(self, refused: str = "nothing is") -> None:
        super().__init__()
        self._refused = refused
        self.refusals = 0

    def __call__(self, request: Request, context: CallContext) -> Completion:
        if request.model == SPEC.model and self._refused in request.messages[-1].content:
            self.refusals += 1
            raise ProviderError("the text is too long", fault=FaultClass.INVALID_REQUEST)
        return super().__call__(request, context)

    def text(self, request: Request) -> str:
        if request.model == SPEC.model:
            return as_base64(of_words(request.messages[-1].content))
        return super().text(request)

    @property
    def embedded(self) -> list[str]:
        return [request.messages[-1].content for request in self.requests if request.model == SPEC.model]


def test_what_is_refused_pauses_the_run_and_is_never_a_score() -> None:
    prompt = ticket_prompt(output=TextContract())
    search = SEARCH.model_copy(update={"threads": 1})
    model, journal = Embedding("hard to say"), MemoryJournal()
    with pytest.raises(EvaluatorError, match="refused to embed the answer: the text is too long") as caught:
        run(search, model, journal, prompt=prompt, evaluator=SPEC)
    assert "starts a new run" in (caught.value.mend or "")
    assert model.refusals == 1
    again = Embedding("hard to say")
    with pytest.raises(EvaluatorError, match="refused to embed"):
        run(search, again, journal, prompt=prompt, evaluator=SPEC)
    assert (again.refusals, again.embedded) == (0, []), "that is in the journal"


def test_a_text_is_embedded_once_in_a_run() -> None:
    model = Embedding()
    result = run(SEARCH, model, prompt=ticket_prompt(output=TextContract()), evaluator=SPEC)
    assert result.best_dev_score is not None
    assert result.baseline_dev_score is not None
    assert result.best_dev_score > result.baseline_dev_score
    assert sorted(model.embedded) == ["billing", "delivery", "hard to say", "refund"]
