"""The catalog's experiments and those that were started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml
from rich.console import Console
from rich.syntax import Syntax
from rich.text import Text

from domain.errors import NotFoundError, PromptoryError
from domain.experiment.spec import Experiment
from orchestration.cli.failures import show_error
from orchestration.cli.opening import database_if_any, open_catalog
from orchestration.cli.screen import emit, facts, table
from orchestration.environments import Environment
from resources.catalog.experiments import ExperimentCatalog, ExperimentReading
from resources.database.repositories import experiments, interactions, outcomes
from resources.database.repositories.experiments import ExperimentRecord
from resources.database.session import Database
from resources.experiments.started import Started

STATE_COLOURS = {"running": "green", "stopped": "cyan", "draft": "dim"}


@dataclass(frozen=True, slots=True)
class Line:
    """One experiment: its file, its record, or both."""

    experiment: Experiment
    file: str | None
    record: ExperimentRecord | None
    answers: int = 0
    outcomes: int = 0

    @property
    def state(self) -> str:
        """`draft` until it is started."""
        return self.record.state if self.record else "draft"

    def values(self) -> dict[str, Any]:
        """For JSON."""
        experiment, record = self.experiment, self.record
        return {
            "name": experiment.name,
            "file": self.file,
            "task": experiment.task,
            "state": self.state,
            "variants": [variant.model_dump() for variant in experiment.variants],
            "layer": experiment.layer.model_dump(),
            "metric": experiment.metric.model_dump(),
            "answers": self.answers,
            "outcomes": self.outcomes,
            "started_at": record.started_at.isoformat() if record else None,
            "stopped_at": record.stopped_at.isoformat() if record and record.stopped_at else None,
            "stop_kind": record.stop_kind if record else None,
            "stop_reason": record.stop_reason if record else None,
            "decision_id": record.decision_id if record else None,
        }


def experiment_catalog(environment: Environment) -> ExperimentCatalog:
    """The catalog's experiment files.

    Raises:
        ConfigurationError: there is no catalog.
    """
    return ExperimentCatalog(open_catalog(environment).folder)


def listed(as_json: bool) -> None:
    """All experiments, and the files that cannot be read."""
    environment = Environment.read()
    reading = experiment_catalog(environment).read()
    with database_if_any(environment) as database:
        lines = _lines(reading, database)
    value = {"experiments": [line.values() for line in lines], "errors": [error.as_dict() for error in reading.errors]}
    emit(as_json, value, lambda console: _show_list(console, lines, reading.errors))


def shown(name: str, as_json: bool) -> None:
    """One experiment in full: as started, where it was, else as its file says."""
    environment = Environment.read()
    reading = experiment_catalog(environment).read()
    with database_if_any(environment) as database:
        lines = _lines(reading, database)
    line = next((line for line in lines if line.experiment.name == name), None)
    if line is None:
        experiment_catalog(environment).get(name)  # says why its file cannot be read, or which there are
        raise NotFoundError(f"no experiment is called {name!r}", mend="see `promptory experiment list`.")
    specification = {"name": name, "task": line.experiment.task, **line.experiment.model_dump(mode="json")}
    dealt = _dealt(line)
    value = {**line.values(), "specification": specification, "dealt": dealt}
    if line.record:
        value["prompt_version_ids"] = line.record.prompt_version_ids

    def show(console: Console) -> None:
        told = {key: one for key, one in line.values().items() if key not in ("variants", "layer", "metric") and one}
        told["layer"] = _layer(line.experiment)
        for number, epoch in enumerate(dealt, start=1):
            shares = ", ".join(f"{variant} {share:.1%}" for variant, share in epoch["shares"].items())
            told[f"dealt ({number})"] = f"since {epoch['since']}: {shares}"
        console.print(facts(told))
        text = yaml.safe_dump(specification, sort_keys=False, allow_unicode=True, width=100)
        console.print(Syntax(text, "yaml", background_color="default", word_wrap=True))

    emit(as_json, value, show)


def _dealt(line: Line) -> list[dict[str, Any]]:
    if line.record is None:
        return []
    epochs = Started.of(line.record).epochs
    return [{"since": epoch.since.isoformat(), "shares": epoch.allocation.shares()} for epoch in epochs]


def _lines(reading: ExperimentReading, database: Database | None) -> list[Line]:
    files = {entry.experiment.name: entry for entry in reading.entries}
    records: dict[str, ExperimentRecord] = {}
    counts: dict[str, tuple[int, int]] = {}
    if database is not None:
        with database.session(read_only=True) as session:
            records = {record.name: record for record in experiments.list_experiments(session)}
            for name in records:
                counts[name] = interactions.count(session, name), outcomes.count(session, name)
    names = sorted({*files, *records})
    return [
        Line(
            records[name].experiment if name in records else files[name].experiment,
            str(files[name].path) if name in files else None,
            records.get(name),
            *counts.get(name, (0, 0)),
        )
        for name in names
    ]


def _show_list(console: Console, lines: list[Line], errors: tuple[PromptoryError, ...]) -> None:
    columns = ["experiment", "task", "state", "variants", "layer", "answers", "outcomes", "ended"]
    rows = [
        [
            line.experiment.name,
            line.experiment.task,
            Text(line.state, style=STATE_COLOURS[line.state]),
            " : ".join(f"{variant.name} {variant.weight}" for variant in line.experiment.variants),
            _layer(line.experiment),
            f"{line.answers:,}",
            f"{line.outcomes:,}",
            f"{line.record.stop_kind}: {line.record.stop_reason}" if line.record and line.record.stop_kind else "",
        ]
        for line in lines
    ]
    if rows:
        console.print(table(None, columns, rows, right=["answers", "outcomes"], whole=["experiment", "state"]))
    elif not errors:
        console.print("There is no experiment yet. docs/experiments.md shows how to write one.")
    for error in errors:
        show_error(error)


def _layer(experiment: Experiment) -> str:
    return f"{experiment.layer.name} {experiment.layer.start}–{experiment.layer.end}"
