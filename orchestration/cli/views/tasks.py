"""The catalog's tasks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import yaml
from rich.console import Console
from rich.syntax import Syntax

from domain.dataset import DatasetVersion
from domain.errors import PromptoryError
from domain.gate_plan import GatePlan
from orchestration.cli.failures import show_error
from orchestration.cli.figures import named, score, score_values
from orchestration.cli.opening import database_if_any, open_catalog
from orchestration.cli.screen import emit, facts, table
from orchestration.cli.views.schedules import starts_text
from orchestration.environments import Environment
from resources.catalog.catalog import CatalogEntry
from resources.database.repositories import aliases, dataset_versions, evaluations, prompt_versions
from resources.database.repositories.aliases import AliasMoveRecord
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.plan import plan_next_look
from resources.evaluation.promote import PRODUCTION, hold_text
from resources.storage.location import path_at


@dataclass(frozen=True, slots=True)
class Stored:
    """What the database knows of a task."""

    dataset: DatasetVersion | None = None
    production: PromptVersionRecord | None = None
    score: EvaluationRecord | None = None
    held: AliasMoveRecord | None = None


def listed(as_json: bool) -> None:
    """All tasks, and the files that cannot be read."""
    environment = Environment.read()
    reading = open_catalog(environment).read()
    with database_if_any(environment) as database:
        found = [(entry, _stored(database, entry.task.name)) for entry in reading.entries]
    value = {
        "tasks": [_values(entry, stored) for entry, stored in found],
        "errors": [error.as_dict() for error in reading.errors],
    }
    emit(as_json, value, lambda console: _show_list(console, found, reading.errors))


def shown(task: str, as_json: bool) -> None:
    """One task in full."""
    environment = Environment.read()
    entry = open_catalog(environment).get(task)
    with database_if_any(environment) as database:
        stored = _stored(database, task)
        plan = _plan(database, environment, entry, stored)
    specification = entry.task.model_dump(mode="json")
    value = {**_values(entry, stored), "spec_id": entry.task.spec_id, "specification": specification}
    value["gate_plan"] = plan.as_dict() if plan else None

    def show(console: Console) -> None:
        summary = _values(entry, stored)
        summary.update(dataset=_dataset(stored), production=_production(stored), score=score(stored.score))
        summary["held_by"] = hold_text(stored.held) if stored.held else "nobody; the gate moves production"
        if plan is not None:
            summary["test split"] = " ".join(plan.sentences)
        for kind, at in starts_text(entry.task, datetime.now(UTC)).items():
            summary[f"next {kind}"] = at
        console.print(facts(summary))
        text = yaml.safe_dump(specification, sort_keys=False, allow_unicode=True, width=100)
        console.print(Syntax(text, "yaml", background_color="default", word_wrap=True))

    emit(as_json, value, show)


def _plan(database: Database | None, environment: Environment, entry: CatalogEntry, stored: Stored) -> GatePlan | None:
    if database is None or stored.dataset is None:
        return None
    with database.session(read_only=True) as session:
        return plan_next_look(session, path_at(environment.storage_root), entry.task, stored.dataset)


def _stored(database: Database | None, task: str) -> Stored:
    if database is None:
        return Stored()
    with database.session(read_only=True) as session:
        alias = aliases.find(session, task, PRODUCTION)
        production = prompt_versions.find(session, task, alias.prompt_version_id) if alias else None
        seen = evaluations.latest(session, task, prompt_version_id=production.id, split="test") if production else None
        held = aliases.hold(session, task, PRODUCTION)
        return Stored(dataset_versions.latest(session, task), production, seen, held)


def _values(entry: CatalogEntry, stored: Stored) -> dict[str, Any]:
    task, dataset, production = entry.task, stored.dataset, stored.production
    return {
        "name": task.name,
        "file": str(entry.path),
        "description": task.description,
        "inputs": list(task.dataset.inputs),
        "output": task.prompt.steps[-1].output.kind,
        "metric": task.metric.score_name,
        "optimizer": task.optimizer.kind if task.optimizer else None,
        "model": task.prompt.model,
        "dataset": {"version": dataset.version, "id": dataset.id, "rows": dataset.rows} if dataset else None,
        "production": {"version": production.version, "id": production.id} if production else None,
        "score": score_values(stored.score),
        "held_by": stored.held.moved_by if stored.held else None,
    }


def _show_list(console: Console, found: list[tuple[CatalogEntry, Stored]], errors: tuple[PromptoryError, ...]) -> None:
    columns = ["task", "output", "model", "dataset", "production", "score on test"]
    rows = [
        [
            entry.task.name,
            entry.task.prompt.steps[-1].output.kind,
            entry.task.prompt.model,
            _dataset(stored),
            f"v{stored.production.version}" if stored.production else "–",
            score(stored.score),
        ]
        for entry, stored in found
    ]
    if rows:
        console.print(table(None, columns, rows, whole=["task", "score on test"]))
    elif not errors:
        console.print("There is no task yet. Draft one: promptory task init --help")
    for error in errors:
        show_error(error)


def _dataset(stored: Stored) -> str:
    return f"v{stored.dataset.version}, {stored.dataset.rows:,} rows" if stored.dataset else "–"


def _production(stored: Stored) -> str:
    return named(stored.production) if stored.production else "–"
