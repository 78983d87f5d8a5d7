"""One task's optimization run: found finished, or run (on), then recorded with the versions it made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session
from upath import UPath

from domain.dataset import DatasetVersion
from domain.errors import InputError, PromptoryError
from domain.evaluators.score import Evaluator
from domain.evaluators.specs import AskingSpec
from domain.optimization import OptimizerSpec, optimization_run_id, with_seed_offset
from domain.pricing import usd_to_nano
from domain.prompt import PromptVersion
from domain.task import Task
from resources.database.repositories import optimization_runs, prompt_versions
from resources.database.repositories.optimization_runs import OptimizationRunRecord, RunResult
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.dspy_runtime.progress import Progress
from resources.dspy_runtime.results import CandidateResult, OptimizationResult
from resources.dspy_runtime.run import optimize
from resources.dspy_runtime.stored_journal import StoredJournal
from resources.evaluation.evaluators import evaluator_identity, open_evaluator
from resources.llm import CoreSettings, SyncClient
from resources.llm.prices import price_book
from resources.llm.state.protocol import ScopeState
from resources.optimization.plan import RunPlan, binding_caps, plan_run
from resources.storage.datasets import DatasetStore, TrainingRows

FINISHED = "finished"


class OptimizationRun:
    """The run of a task's optimizer on one prompt version and one dataset version. Its id says exactly that.

    Another task that asked the very same first has that id; then the task's name is in it too.
    """

    def __init__(
        self,
        task: Task,
        prompt: PromptVersionRecord,
        dataset: DatasetVersion,
        session: Session,
        *,
        seed_offset: int = 0,
    ) -> None:
        """Plan the run; another `seed_offset` than 0 makes it another search over the same rows.

        Raises:
            InputError: the task names no optimizer, or its metric's function is not there.
        """
        if task.optimizer is None:
            raise InputError(
                f"task {task.name!r} names no optimizer", field="optimizer", mend="add `optimizer: {kind: …}`."
            )
        self._task = task
        self._prompt = prompt
        self._dataset = dataset
        self._spec: OptimizerSpec = with_seed_offset(task.optimizer, seed_offset)
        self._metric = evaluator_identity(task.metric)
        cap = usd_to_nano(task.budget.run_usd)
        shared_id = optimization_run_id(prompt.id, dataset.id, self._spec, self._metric, cap)
        self.id = optimization_runs.id_for(session, shared_id, task.name)

    def execute(
        self,
        database: Database,
        root: UPath,
        open_core: Callable[[], AbstractContextManager[SyncClient]],
        clock: Callable[[], datetime],
        progress: Progress | None = None,
    ) -> OptimizationRunRecord:
        """The finished run; one that is finished already costs nothing, a killed one goes on where it stopped.

        Whatever else ends it (a signal, a refused call, an error), the run is then paused: its record says why and how
        far it came, and names the best prompt version so far.

        Args:
            open_core: opens the execution core with the run's caps; not called for a finished run.

        Raises:
            UnansweredError: a call got no answer; the run is paused, and running it again goes on.
            InputError: rows, prompt and optimizer do not fit together.
        """
        record = self._start(database, clock)
        if record.status == FINISHED:
            return record
        so_far: list[OptimizationResult] = []
        try:
            with open_core() as llm:
                result = self._search(database, root, llm, clock, progress, so_far.append)
                finished = self._record(database, result, clock)
                # A finished run makes no more calls: its used-up cap would only be a standing warning.
                llm.set_cap(f"run:{self.id}", None)
        except BaseException as error:
            self._pause(database, why_it_stopped(error), so_far, clock)
            raise
        return finished

    def plan(self, root: UPath, settings: CoreSettings) -> RunPlan:
        """What the whole run asks for and costs, before it starts.

        Raises:
            NotFoundError: the dataset's snapshot is gone.
            InputError: a row's expected answer does not meet the output contract.
        """
        rows, prices = TrainingRows(DatasetStore(root), self._dataset), price_book(settings)
        caps = binding_caps(self._task, settings)
        return plan_run(self._prompt.prompt, self._spec, rows.train, rows.dev, prices, caps, self._task.metric)

    def _start(self, database: Database, clock: Callable[[], datetime]) -> OptimizationRunRecord:
        with database.session() as session:
            return optimization_runs.start(
                session,
                self.id,
                task=self._task.name,
                prompt_version_id=self._prompt.id,
                dataset_version_id=self._dataset.id,
                optimizer=self._spec.model_dump(mode="json"),
                now=clock(),
            )

    def _search(
        self,
        database: Database,
        root: UPath,
        llm: SyncClient,
        clock: Callable[[], datetime],
        progress: Progress | None,
        tell: Callable[[OptimizationResult], None],
    ) -> OptimizationResult:
        rows = TrainingRows(DatasetStore(root), self._dataset)
        prompt = self._prompt.prompt
        return optimize(
            prompt,
            rows.train,
            rows.dev,
            self._spec,
            self._open_metric(),
            llm.complete,
            StoredJournal(database, clock),
            run_id=self.id,
            task=self._task.name,
            dataset_version_id=self._dataset.id,
            scopes=("org", "day", "month", f"task:{self._task.name}"),
            run_budget_left=lambda: run_has_budget(llm, f"run:{self.id}", self._task.name),
            spent_before_nano_usd=spent_in(llm, f"run:{self.id}"),
            progress=progress,
            tell=tell,
        )

    def _open_metric(self) -> Evaluator | AskingSpec:
        """The metric; one that asks a model needs no opening."""
        spec = self._task.metric
        if isinstance(spec, AskingSpec):
            return spec
        opened = open_evaluator(spec, self._prompt.prompt.steps[-1].output)
        if opened.identity != self._metric:
            raise InputError(
                "the metric's source changed while the run was being planned", field="evaluators", mend="run it again."
            )
        return opened.evaluator

    def _record(
        self, database: Database, result: OptimizationResult, clock: Callable[[], datetime]
    ) -> OptimizationRunRecord:
        now = clock()
        with database.session() as session:
            for reference in result.references:
                self._register(session, reference, "reference:random_demonstrations", now)
            self._register(session, result.best, f"optimizer:{self._spec.kind}", now)
            return optimization_runs.finish(session, self.id, _outcome(result), now=now)

    def _pause(
        self, database: Database, reason: str, so_far: list[OptimizationResult], clock: Callable[[], datetime]
    ) -> None:
        with database.session() as session:
            if not so_far:
                optimization_runs.pause(session, self.id, reason=reason)
                return
            result = so_far[0]
            best = self._register(session, result.best, f"optimizer:{self._spec.kind}", clock())
            reached = f"{reason} {_reached(result, best.version)}"
            optimization_runs.pause(session, self.id, reason=reached, so_far=_outcome(result))

    def _register(self, session: Session, prompt: PromptVersion, created_by: str, now: datetime) -> PromptVersionRecord:
        return prompt_versions.register(
            session, self._task.name, prompt, created_by=created_by, now=now, parent_id=self._prompt.id
        )


def why_it_stopped(error: BaseException) -> str:
    """A sentence for the record of a paused run."""
    if isinstance(error, PromptoryError):
        return str(error)
    # A signal reaches the run as an exception that is no `Exception`: KeyboardInterrupt, or Dagster's.
    return f"Failed: {error!r}." if isinstance(error, Exception) else "Interrupted."


def _reached(result: OptimizationResult, version: int) -> str:
    best = "none has all its scores yet"
    if result.best_dev_score is not None:
        best = f"best so far {result.best_dev_score:.1%} on dev, prompt version v{version}"
    return f"Reached {result.calls:,} answers and {len(result.candidates):,} candidates, {best}. Run it again to go on."


def _outcome(result: OptimizationResult) -> RunResult:
    return RunResult(
        result_prompt_version_id=result.best.id,
        dev_score=result.best_dev_score,
        reference_prompt_version_ids=tuple(reference.id for reference in result.references),
        candidates=tuple(_candidate(one, result.dev_rows) for one in result.candidates),
        stop_reason=result.stop_reason,
    )


def spent_in(llm: SyncClient, scope: str) -> int:
    """What was charged to `scope` so far, ambiguous attempts included, in nano-USD."""
    return sum(state.settled_nano_usd + state.ambiguous_nano_usd for state in llm.budgets() if state.scope == scope)


def run_has_budget(llm: SyncClient, run_scope: str, task: str) -> bool:
    """Whether a refused call failed on another scope than the run's own."""
    return other_scope_refused(llm.budgets(), run_scope, task)


def other_scope_refused(states: Iterable[ScopeState], run_scope: str, task: str) -> bool:
    """Whether it was not the run's own cap that a refused call failed on.

    The scope with the least left is one that refused; when that is the run's own, the run is over for good.
    """
    mine = ("org", f"task:{task}")
    left = {
        state.scope: state.cap_nano_usd - state.settled_nano_usd - state.ambiguous_nano_usd
        for state in states
        if state.cap_nano_usd is not None
        and (state.scope in (*mine, run_scope) or state.scope.startswith(("day:", "month:")))
    }
    others = [amount for scope, amount in left.items() if scope != run_scope]
    return run_scope not in left or left[run_scope] > min(others, default=left[run_scope])


def _candidate(one: CandidateResult, dev_rows: int) -> dict[str, Any]:
    steps = one.prompt.steps
    return {
        "prompt_version_id": one.prompt.id,
        "dev_score": one.dev_score,
        "dev_low": one.interval.low if one.interval else None,
        "dev_high": one.interval.high if one.interval else None,
        "dev_rows": dev_rows if one.interval else 0,
        "dev_cost_nano_usd": one.dev_cost_nano_usd,
        "kind": one.kind,
        "demonstrations": sum(len(step.demonstrations) for step in steps),
    }
