"""Which compression a task asks for now."""

from __future__ import annotations

from domain.dataset import DatasetVersion
from domain.task import Task
from resources.compression.run import CompressionRun
from resources.database.repositories import aliases, gate_decisions, optimization_runs, prompt_versions
from resources.database.session import Database
from resources.evaluation.promote import PRODUCTION


def find_compression(database: Database, task: Task, dataset: DatasetVersion) -> CompressionRun:
    """The compression of what is in production, or the one whose result that is.

    A compressed prompt is not compressed again on the same rows under the same rules: each round may lose up to the
    margin, and several of them would add up to a loss that no gate has seen.

    Raises:
        NotFoundError: nothing is in production yet.
        InputError: the metric's function is not there.
    """
    with database.session(read_only=True) as session:
        production = prompt_versions.get(session, task.name, PRODUCTION)
        last = next(iter(aliases.history(session, task.name, PRODUCTION)), None)
        decision = gate_decisions.find(session, last.decision_id) if last and last.decision_id else None
        if decision is not None and decision.candidate_id == production.id:
            former = prompt_versions.get(session, task.name, decision.production_id)
            run = CompressionRun(task, former, dataset, session)
            record = optimization_runs.find(session, run.id)
            if record is not None and record.result_prompt_version_id == production.id:
                return run
        return CompressionRun(task, production, dataset, session)
