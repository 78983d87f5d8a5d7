"""One task's optimization run: found finished, or run (on), then recorded with the versions it made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from upath import UPath

from domain.dataset import DatasetVersion
from domain.errors import InputError, PromptoryError
from domain.optimization import OptimizerSpec, optimization_run_id
from domain.pricing import usd_to_nano
from domain.task import Task
from resources.database.repositories import optimization_runs, prompt_versions
from resources.database.repositories.optimization_runs import OptimizationRunRecord, RunResult
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.dspy_runtime.results import CandidateResult, OptimizationResult
from resources.dspy_runtime.run import optimize
from resources.dspy_runtime.stored_journal import StoredJournal
from resources.evaluation.evaluators import evaluator_identity, open_evaluator
from resources.llm import CoreSettings, SyncClient, open_client_sync
from resources.storage.datasets import DatasetStore, TrainingRows

FINISHED = "finished"
SearchProgress = Callable[[int, int, float | None], None]


class OptimizationRun:
    """The run of a task's optimizer on one prompt version and one dataset version. Its id says exactly that."""

    def __init__(self, task: Task, prompt: PromptVersionRecord, dataset: DatasetVersion) -> None:
        """Plan the run.

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
        self._spec: OptimizerSpec = task.optimizer
        self._metric = evaluator_identity(task.metric)
        cap = usd_to_nano(task.budget.run_usd)
        self.id = optimization_run_id(prompt.id, dataset.id, task.optimizer, self._metric, cap)

    def execute(
        self,
        database: Database,
        root: UPath,
        settings: CoreSettings,
        clock: Callable[[], datetime],
        progress: SearchProgress | None = None,
    ) -> OptimizationRunRecord:
        """The finished run; one that is finished already costs nothing, a killed one goes on where it stopped.

        Raises:
            UnansweredError: a call got no answer; the run is paused, and running it again goes on.
            InputError: rows, prompt and optimizer do not fit together.
        """
        record = self._start(database, clock)
        if record.status == FINISHED:
            return record
        try:
            with open_client_sync(settings) as llm:
                result = self._search(database, root, llm, clock, progress)
                finished = self._record(database, result, clock)
                # A finished run makes no more calls: its used-up cap would only be a standing warning.
                llm.set_cap(f"run:{self.id}", None)
        except PromptoryError as error:
            with database.session() as session:
                optimization_runs.pause(session, self.id, reason=str(error))
            raise
        return finished

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
        progress: SearchProgress | None,
    ) -> OptimizationResult:
        rows = TrainingRows(DatasetStore(root), self._dataset)
        prompt = self._prompt.prompt
        metric = open_evaluator(self._task.metric, prompt.steps[-1].output)
        if metric.identity != self._metric:
            raise InputError(
                "the metric's source changed while the run was being planned", field="evaluators", mend="run it again."
            )
        return optimize(
            prompt,
            rows.train,
            rows.dev,
            self._spec,
            metric.evaluator,
            llm.complete,
            StoredJournal(database, clock),
            run_id=self.id,
            task=self._task.name,
            dataset_version_id=self._dataset.id,
            scopes=("org", "day", "month", f"task:{self._task.name}"),
            run_budget_left=lambda: run_has_budget(llm, f"run:{self.id}", self._task.name),
            progress=progress,
        )

    def _record(
        self, database: Database, result: OptimizationResult, clock: Callable[[], datetime]
    ) -> OptimizationRunRecord:
        now = clock()
        by = f"optimizer:{self._spec.kind}"
        with database.session() as session:
            for reference in result.references:
                prompt_versions.register(
                    session,
                    self._task.name,
                    reference,
                    created_by="reference:random_demonstrations",
                    now=now,
                    parent_id=self._prompt.id,
                )
            best = prompt_versions.register(
                session, self._task.name, result.best, created_by=by, now=now, parent_id=self._prompt.id
            )
            outcome = RunResult(
                result_prompt_version_id=best.id,
                dev_score=result.best_dev_score,
                reference_prompt_version_ids=tuple(reference.id for reference in result.references),
                candidates=tuple(_candidate(one) for one in result.candidates),
                stop_reason=result.stop_reason,
            )
            return optimization_runs.finish(session, self.id, outcome, now=now)


def run_has_budget(llm: SyncClient, run_scope: str, task: str) -> bool:
    """Whether a refused call failed on another scope than the run's own.

    The scope with the least left is one that refused; when that is the run's own, the run is over for good.
    """
    mine = ("org", f"task:{task}")
    left = {
        state.scope: state.cap_nano_usd - state.settled_nano_usd - state.ambiguous_nano_usd
        for state in llm.budgets()
        if state.cap_nano_usd is not None
        and (state.scope in (*mine, run_scope) or state.scope.startswith(("day:", "month:")))
    }
    others = [amount for scope, amount in left.items() if scope != run_scope]
    return run_scope not in left or left[run_scope] > min(others, default=left[run_scope])


def _candidate(one: CandidateResult) -> dict[str, Any]:
    steps = one.prompt.steps
    return {
        "prompt_version_id": one.prompt.id,
        "dev_score": one.dev_score,
        "kind": one.kind,
        "demonstrations": sum(len(step.demonstrations) for step in steps),
    }
