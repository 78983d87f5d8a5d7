"""One compression: cheaper variants of production on dev, the best one put to the gate as 'not worse and cheaper'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session
from upath import UPath

from domain.compression import Variant, pareto_front, variants
from domain.dataset import DatasetVersion, Split
from domain.errors import UnansweredError
from domain.identity import content_id
from domain.pricing import usd_to_nano
from domain.task import Task
from resources.database.repositories import optimization_runs, prompt_versions
from resources.database.repositories.optimization_runs import OptimizationRunRecord, RunResult
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.decide import Contest, Decider
from resources.evaluation.evaluate import Evaluation, EvaluationEngine, EvaluationProgress
from resources.evaluation.evaluators import evaluator_identity
from resources.llm import LLMClient
from resources.optimization.run_optimization import other_scope_refused, why_it_stopped

COMPRESS = "compress"
RUN_BUDGET = "run_budget"
FINISHED = "finished"
AS_IT_IS = "as it is"


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
        production: what was compressed; the alias may point elsewhere by now.
        trials: production first.
        front: those of the trials that none beats in quality and cost together, the cheapest first.
        chosen: the cheapest that loses little enough on dev; None where there is none.
        contest: the gate's; None where nothing was chosen.
    """

    run: OptimizationRunRecord
    production: PromptVersionRecord
    trials: tuple[Trial, ...]
    front: tuple[Trial, ...]
    chosen: PromptVersionRecord | None
    contest: Contest | None

    @property
    def nothing_chosen(self) -> str:
        """Why nothing was put to the gate, where nothing was."""
        if len(self.trials) == 1:
            return "There is nothing to leave out of this prompt, and compress.models names no cheaper model."
        return "No variant is cheaper enough without losing too much on dev."


class CompressionRun:
    """The compression of one production prompt on one dataset version. Its id says exactly that.

    Another task that asked the very same first has that id; then the task's name is in it too.
    """

    def __init__(self, task: Task, production: PromptVersionRecord, dataset: DatasetVersion, session: Session) -> None:
        """Plan the compression.

        Raises:
            InputError: the metric's function is not there.
        """
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
            "metric": evaluator_identity(task.metric),
            "cap_nano_usd": usd_to_nano(task.budget.run_usd),
        }
        shared_id = content_id([production.id, dataset.id, self._spec])
        self.id = optimization_runs.id_for(session, shared_id, task.name)

    async def execute(
        self,
        database: Database,
        root: UPath,
        llm: LLMClient,
        clock: Callable[[], datetime],
        progress: EvaluationProgress | None = None,
        tell: Callable[[str], object] = str,
    ) -> Compression:
        """Try the variants on dev, choose, and ask the gate. Run again after a kill, it pays for nothing twice.

        Whatever ends it early (a signal, a refused call, an error), the run is then paused: its record says why and how
        far it came, and names the prompt version it would choose so far.

        Args:
            tell: takes a sentence about each variant once it is tried.

        Raises:
            UnansweredError: a call got no answer; running it again goes on from there.
            ProviderError: the provider refuses the requests themselves.
        """
        engine = EvaluationEngine(
            task=self.task, dataset=self._dataset, database=database, root=root, llm=llm, clock=clock,
            progress=progress, run_id=self.id,
        )  # fmt: skip
        record = self._start(database, clock)
        trials: list[Trial] = []
        try:
            if record.status != FINISHED:
                stop = await self._search(engine, llm, trials, tell)
                record = self._finish(database, trials, stop, clock)
            found = await self._ask_gate(database, engine, clock, record)
        except BaseException as error:
            self._pause(database, why_it_stopped(error), trials, clock)
            raise
        # A finished run makes no more calls: its used-up cap would only be a standing warning.
        await llm.set_cap(f"run:{self.id}", None)
        return found

    def _start(self, database: Database, clock: Callable[[], datetime]) -> OptimizationRunRecord:
        with database.session() as session:
            return optimization_runs.start(
                session, self.id, task=self.task.name, prompt_version_id=self._production.id,
                dataset_version_id=self._dataset.id, optimizer=self._spec, now=clock(),
            )  # fmt: skip

    async def _search(
        self, engine: EvaluationEngine, llm: LLMClient, trials: list[Trial], tell: Callable[[str], object]
    ) -> str | None:
        """Add to `trials`, production first; why it ended before the last variant, None if it did not."""
        in_all = len(self._variants) + 1
        for variant in (Variant(self._production.prompt, AS_IT_IS), *self._variants):
            try:
                seen = await engine.evaluate(variant.prompt, Split.DEV)
            except UnansweredError as error:
                budgets = await llm.budgets()
                refused_elsewhere = other_scope_refused(budgets, f"run:{self.id}", self.task.name)
                if error.reason != "budget_exhausted" or refused_elsewhere or not trials:
                    raise
                return RUN_BUDGET
            trials.append(_trial(variant, seen))
            tell(f"{len(trials)} of {in_all} tried. {_told(trials[-1], trials[0])}")
        return None

    def _finish(
        self, database: Database, trials: Sequence[Trial], stop: str | None, clock: Callable[[], datetime]
    ) -> OptimizationRunRecord:
        """Fix the result."""
        now = clock()
        with database.session() as session:
            return optimization_runs.finish(session, self.id, self._result(session, trials, stop, now), now=now)

    def _pause(self, database: Database, reason: str, trials: Sequence[Trial], clock: Callable[[], datetime]) -> None:
        with database.session() as session:
            if not trials:
                optimization_runs.pause(session, self.id, reason=reason)
                return
            so_far = self._result(session, trials, None, clock())
            best = prompt_versions.get(session, self.task.name, so_far.result_prompt_version_id)
            trial = next(one for one in trials if one.prompt_version_id == best.id)
            reached = f"Tried {len(trials)} of {len(self._variants) + 1}, best so far prompt version v{best.version}, "
            reached += _told(trial, trials[0])
            optimization_runs.pause(
                session, self.id, reason=f"{reason} {reached} Run it again to go on.", so_far=so_far
            )  # fmt: skip

    def _result(self, session: Session, trials: Sequence[Trial], stop: str | None, now: datetime) -> RunResult:
        """The cheapest trial on the front that loses at most half the margin on dev, else production.

        One that loses the whole margin on dev would be rejected on test nearly always, and cost a look.
        """
        production = trials[0]
        ceiling = min((1 - self.task.gate.min_saving) * production.cost_nano_usd, production.cost_nano_usd - 1)
        front = pareto_front(trials)
        fit = (one for one in front if one.score >= production.score - self.margin / 2 and one.cost_nano_usd <= ceiling)
        chosen = next(fit, production)
        by_id = {one.prompt.id: one.prompt for one in self._variants}
        if chosen.prompt_version_id in by_id:
            prompt_versions.register(
                session, self.task.name, by_id[chosen.prompt_version_id], created_by=f"optimizer:{COMPRESS}",
                now=now, parent_id=self._production.id,
            )  # fmt: skip
        on_front = {one.prompt_version_id for one in front}
        return RunResult(
            result_prompt_version_id=chosen.prompt_version_id,
            dev_score=chosen.score,
            candidates=tuple(_candidate(one, one.prompt_version_id in on_front) for one in trials),
            stop_reason=stop,
        )

    async def _ask_gate(
        self,
        database: Database,
        engine: EvaluationEngine,
        clock: Callable[[], datetime],
        record: OptimizationRunRecord,
    ) -> Compression:
        trials = trials_of(record)
        front = pareto_front(trials)
        result = record.result_prompt_version_id or self._production.id
        if result == self._production.id:
            return Compression(record, self._production, trials, front, None, None)
        with database.session(read_only=True) as session:
            chosen = prompt_versions.get(session, self.task.name, result)
        decider = Decider(self.task, self._dataset, engine, database, clock)
        contest = await decider.run(self._production, [chosen])
        return Compression(record, self._production, trials, front, chosen, contest)


def _trial(variant: Variant, seen: Evaluation) -> Trial:
    return Trial(
        prompt_version_id=variant.prompt.id,
        change=variant.change,
        model=variant.prompt.model,
        demonstrations=sum(len(step.demonstrations) for step in variant.prompt.steps),
        score=seen.record.score,
        cost_nano_usd=int(seen.record.summary["cost_nano_usd"]),
    )


def _told(one: Trial, production: Trial) -> str:
    share = "" if production.cost_nano_usd == 0 else f", {one.cost_nano_usd / production.cost_nano_usd:.0%} of the cost"
    return f"`{one.change}`: {one.score:.1%} on dev{share}."


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


def trials_of(record: OptimizationRunRecord) -> tuple[Trial, ...]:
    """What a recorded compression tried, production first."""
    return tuple(
        Trial(
            one["prompt_version_id"], one["kind"], one["model"], one["demonstrations"], one["dev_score"],
            one["cost_nano_usd"],
        )
        for one in record.candidates
    )  # fmt: skip
