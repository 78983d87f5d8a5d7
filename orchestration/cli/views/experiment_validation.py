"""Checking experiment files without starting anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from domain.errors import NotFoundError, PromptoryError
from domain.experiment.spec import Experiment
from orchestration.cli.failures import BAD_INPUT, show_error
from orchestration.cli.opening import database_if_any, open_catalog
from orchestration.cli.screen import emit
from orchestration.cli.views.experiments import experiment_catalog
from orchestration.cli.views.validation import SUFFIXES
from orchestration.environments import Environment
from resources.catalog.experiments import ExperimentCatalog, ExperimentEntry, load_experiment, overlap_errors
from resources.database.repositories import experiments, prompt_versions
from resources.database.session import Database
from resources.experiments.lifecycle import refuse_other_design


@dataclass(frozen=True, slots=True)
class Checked:
    """One file: the experiment, or the error that makes it unusable; what cannot be checked yet is a warning."""

    file: str
    experiment: Experiment | None = None
    error: PromptoryError | None = None
    warning: str | None = None


def validated(what: str | None, as_json: bool) -> int:
    """Check what is named, or everything; the exit code."""
    environment = Environment.read()
    catalog = experiment_catalog(environment)
    with database_if_any(environment) as database:
        results = list(_check_all(environment, catalog, database, what))
    failed = any(result.error for result in results)
    value = {
        "ok": not failed,
        "experiments": [
            {
                "file": one.file,
                "name": one.experiment.name if one.experiment else None,
                "ok": one.error is None,
                "error": one.error.as_dict() if one.error else None,
                "warning": one.warning,
            }
            for one in results
        ],
    }
    emit(as_json, value, lambda console: _show(console, results))
    return BAD_INPUT if failed else 0


def _check_all(
    environment: Environment, catalog: ExperimentCatalog, database: Database | None, what: str | None
) -> Iterator[Checked]:
    reading = catalog.read()
    if what is not None:
        entry = _named(environment, catalog, what)
        if isinstance(entry, Checked):
            yield entry
            return
        others = [one for one in reading.entries if one.experiment.name != entry.experiment.name]
        overlaps = overlap_errors([*others, entry], _stopped(database))
        yield _check(entry, overlaps.get(entry.experiment.name), database)
        return
    if not reading.entries and not reading.errors:
        raise NotFoundError(
            "there is no experiment file", file=str(catalog.folder), mend="docs/experiments.md shows how to write one."
        )
    for error in reading.errors:
        yield Checked(error.file or "", error=error)
    overlaps = overlap_errors(reading.entries, _stopped(database))
    for entry in reading.entries:
        yield _check(entry, overlaps.get(entry.experiment.name), database)


def _named(environment: Environment, catalog: ExperimentCatalog, what: str) -> ExperimentEntry | Checked:
    path = Path(what)
    try:
        if path.suffix not in SUFFIXES:
            return catalog.get(what)
        tasks = [entry.task.name for entry in open_catalog(environment).read().entries]
        return ExperimentEntry(load_experiment(path, tasks), path)
    except PromptoryError as error:
        return Checked(error.file or what, error=error)


def _stopped(database: Database | None) -> set[str]:
    if database is None:
        return set()
    with database.session(read_only=True) as session:
        return {record.name for record in experiments.list_experiments(session, state="stopped")}


def _check(entry: ExperimentEntry, overlap: PromptoryError | None, database: Database | None) -> Checked:
    experiment, file = entry.experiment, str(entry.path)
    if overlap is not None:
        return Checked(file, experiment, overlap)
    if database is None:
        return Checked(file, experiment, warning="there is no database yet, so prompt versions were not looked up")
    try:
        with database.session(read_only=True) as session:
            record = experiments.find(session, experiment.name)
            if record is not None and record.state == "running":
                refuse_other_design(record.experiment, experiment)
            elif record is None:
                for variant in experiment.variants:
                    prompt_versions.get(session, experiment.task, variant.prompt)
    except PromptoryError as error:
        named = type(error)(error.problem, file=file, field=error.field or "variants", mend=error.mend)
        return Checked(file, experiment, named)
    return Checked(file, experiment)


def _show(console: Console, results: list[Checked]) -> None:
    for result in results:
        if result.error:
            show_error(result.error)
            continue
        assert result.experiment is not None  # noqa: S101 - the error is None, so it was read
        shares = " : ".join(f"{variant.name} {variant.weight}" for variant in result.experiment.variants)
        console.print(Text.assemble(("ok", "green"), f"  {result.experiment.name}: {shares}"))
        if result.warning:
            console.print(Text.assemble(("warning", "yellow"), f"  {result.warning}"))
