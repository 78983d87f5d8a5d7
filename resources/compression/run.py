"""One compression: cheaper variants of production on dev, the best one put to the gate as 'not worse and cheaper'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from upath import UPath

from domain.compression import Variant, pareto_front, variants
from domain.dataset import DatasetVersion, Split
from domain.errors import PromptoryError, UnansweredError
from domain.identity import content_id
from domain.pricing import usd_to_nano
from domain.task import Task
from resources.database.repositories import optimization_runs, prompt_versions
from resources.database.repositories.optimization_runs import OptimizationRunRecord, RunResult
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.decide import Contest, Decider
from resources.evaluation.evaluate import Evaluation, EvaluationEngine, EvaluationProgress
from resources.llm import LLMClient
from resources.optimization.run_optimization import other_scope_refused

COMPRESS = "compress"
RUN_BUDGET = "run_budget"


@dataclass(frozen=True, slots=True)
class Trial:
    """One prompt on dev: production itself (`change` is `as it is`) or a variant of it."""

    prompt_version_id: str
    change: str
    model: str
    demonstrations: int
    score: float
    cost_nano_usd: int


@dataclass(frozen=True, slots=True)
class Compression:
    """What a compression found.

    Attributes:
        trials: production first.
        front: those of the trials that none beats in quality and cost together, the cheapest first.
        chosen: the cheapest that loses little enough on dev; None where there is none.
        contest: the gate's; None where nothing was chosen.
    """

    run: OptimizationRunRecord
    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    chosen: PromptVersionRecord | None
    contest: Contest | None


class CompressionRun:
    """The compression of one production prompt on one dataset version. Its id says exactly that."""

    def __init__(self, task: Task, production: PromptVersionRecord, dataset: DatasetVersion) -> None:
        rule = task.gate
        margin = rule.non_inferiority_margin or task.compress.margin
        gate = rule.model_copy(update={"non_inferiority_margin": margin})
        self.task = task.model_copy(update={"gate": gate})
        self.margin = margin
        self._production = production
        self._dataset = dataset
        self._variants = variants(production.prompt, task.compress.models)
        self._spec: dict[str, Any] = {
            "kind": COMPRESS,
            "variants": [one.prompt.id for one in self._variants],
            "margin": margin,
            "min_saving": gate.min_saving,
            "metric": task.metric.model_dump(mode="json"),
            "cap_nano_usd": usd_to_nano(task.budget.run_usd),
        }
        self.id = content_id([production.id, dataset.id, self._spec])

    async def execute(
        self,
        database: Database,
        root: UPath,
        llm: LLMClient,
        clock: Callable[[], datetime],
        progress: EvaluationProgress | None = None,
    ) -> Compression:
        """Try the variants on dev, choose, and ask the gate. Run again after a kill, it pays for nothing twice.

        Raises:
            UnansweredError: a call got no answer; running it again goes on from there.
            ProviderError: the provider refuses the requests themselves.
        """
        engine = EvaluationEngine(
            task=self.task, dataset=self._dataset, database=database, root=root, llm=llm, clock=clock,
            progress=progress, run_id=self.id,
        )  # fmt: skip
        with database.session() as session:
            known = optimization_runs.start(
                session, self.id, task=self.task.name, prompt_version_id=self._production.id,
                dataset_version_id=self._dataset.id, optimizer=self._spec, now=clock(),
            )  # fmt: skip
        try:
            record = known if known.status == "finished" else await self._search(database, engine, llm, clock)
            return await self._ask_gate(database, engine, clock, record)
        except PromptoryError as error:
            with database.session() as session:
                optimization_runs.pause(session, self.id, reason=str(error))
            raise

    async def _search(
        self, database: Database, engine: EvaluationEngine, llm: LLMClient, clock: Callable[[], datetime]
    ) -> OptimizationRunRecord:
        as_it_is = Variant(self._production.prompt, "as it is")
        trials = [_trial(as_it_is, await engine.evaluate(as_it_is.prompt, Split.DEV))]
        stop: str | None = None
        for variant in self._variants:
            try:
                seen = await engine.evaluate(variant.prompt, Split.DEV)
            except UnansweredError as error:
                budgets = await llm.budgets()
                if error.reason != "budget_exhausted" or other_scope_refused(budgets, f"run:{self.id}", self.task.name):
                    raise
                stop = RUN_BUDGET
                break
            trials.append(_trial(variant, seen))
        return self._record(database, trials, stop, clock)

    def _record(
        self, database: Database, trials: Sequence[Trial], stop: str | None, clock: Callable[[], datetime]
    ) -> OptimizationRunRecord:
        """Fix the result: the cheapest trial on the front that loses at most half the margin on dev, else production.

        One that loses the whole margin on dev would be rejected on test nearly always, and cost a look.
        """
        production = trials[0]
        ceiling = (1 - self.task.gate.min_saving) * production.cost_nano_usd
        front = pareto_front(trials)
        fit = (one for one in front if one.score >= production.score - self.margin / 2 and one.cost_nano_usd <= ceiling)
        chosen = next(fit, production)
        on_front = {one.prompt_version_id for one in front}
        by_id = {one.prompt.id: one.prompt for one in self._variants}
        now = clock()
        with database.session() as session:
            if chosen.prompt_version_id in by_id:
                prompt_versions.register(
                    session, self.task.name, by_id[chosen.prompt_version_id], created_by=f"optimizer:{COMPRESS}",
                    now=now, parent_id=self._production.id,
                )  # fmt: skip
            result = RunResult(
                result_prompt_version_id=chosen.prompt_version_id,
                dev_score=chosen.score,
                candidates=tuple(_candidate(one, one.prompt_version_id in on_front) for one in trials),
                stop_reason=stop,
            )
            return optimization_runs.finish(session, self.id, result, now=now)

    async def _ask_gate(
        self,
        database: Database,
        engine: EvaluationEngine,
        clock: Callable[[], datetime],
        record: OptimizationRunRecord,
    ) -> Compression:
        trials = tuple(_read(one) for one in record.candidates)
        front = pareto_front(trials)
        result = record.result_prompt_version_id or self._production.id
        if result == self._production.id:
            return Compression(record, trials, front, None, None)
        with database.session(read_only=True) as session:
            chosen = prompt_versions.get(session, self.task.name, result)
        decider = Decider(self.task, self._dataset, engine, database, clock)
        return Compression(record, trials, front, chosen, await decider.run(self._production, [chosen]))


def _trial(variant: Variant, seen: Evaluation) -> Trial:
    return Trial(
        prompt_version_id=variant.prompt.id,
        change=variant.change,
        model=variant.prompt.model,
        demonstrations=sum(len(step.demonstrations) for step in variant.prompt.steps),
        score=seen.record.score,
        cost_nano_usd=int(seen.record.summary["cost_nano_usd"]),
    )


def _candidate(one: Trial, on_front: bool) -> dict[str, Any]:
    """As every run records its candidates, with what this one is about."""
    return {
        "prompt_version_id": one.prompt_version_id,
        "dev_score": one.score,
        "kind": one.change,
        "model": one.model,
        "demonstrations": one.demonstrations,
        "cost_nano_usd": one.cost_nano_usd,
        "on_front": on_front,
    }


def _read(one: dict[str, Any]) -> Trial:
    return Trial(
        one["prompt_version_id"], one["kind"], one["model"], one["demonstrations"], one["dev_score"],
        one["cost_nano_usd"],
    )  # fmt: skip
