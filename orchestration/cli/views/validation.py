"""Checking task files and their datasets, row by row, without storing anything."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text
from upath import UPath

from assets.datasets.quality import (
    Finding,
    balance_finding,
    duplicates_finding,
    leakage_finding,
    near_leakage_finding,
)
from domain.errors import InputError, NotFoundError, PromptoryError
from domain.evaluators.specs import AskingSpec
from domain.rendering import fields_read
from domain.task import Task
from orchestration.cli.failures import BAD_INPUT, show_error
from orchestration.cli.opening import open_catalog
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.catalog.catalog import CatalogEntry
from resources.catalog.ingest import Ingested, ingest, source_files
from resources.catalog.snapshot import split_counts
from resources.catalog.task_file import load_task
from resources.evaluation.evaluators import open_evaluator
from resources.storage.location import path_at

SHOWN_ROWS = 20
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class Checked:
    """One task file: its rows per split and findings, or the error that makes it unusable."""

    file: str
    name: str | None = None
    error: PromptoryError | None = None
    split_rows: dict[str, int] = field(default_factory=dict)
    quarantined: list[dict[str, Any]] = field(default_factory=list)
    findings: dict[str, Finding] = field(default_factory=dict)


def validated(what: str | None, as_json: bool) -> int:
    """Check what is named, or everything; the exit code."""
    environment = Environment.read()
    results = list(_check_all(environment, what))
    failed = any(result.error for result in results)
    value = {"ok": not failed, "tasks": [_values(result) for result in results]}
    emit(as_json, value, lambda console: _show(console, results))
    return BAD_INPUT if failed else 0


def check_dataset(task: Task, path: Path, landing: UPath) -> tuple[Ingested, dict[str, int]]:
    """All rows of a task's files and how many fall into each split.

    Raises:
        InputError: a file is unusable, or a split would be empty.
    """
    result = ingest(task, source_files(task, path, landing))
    return result, split_counts(task, result)


def _check_all(environment: Environment, what: str | None) -> Iterator[Checked]:
    landing = path_at(environment.landing_root)
    if what is not None:
        yield _check_named(environment, what, landing)
        return
    catalog = open_catalog(environment)
    reading = catalog.read()
    if not reading.entries and not reading.errors:
        raise NotFoundError(
            "there is no task file", file=str(catalog.folder / "tasks"), mend="draft one: promptory task init --help."
        )
    for error in reading.errors:
        yield Checked(error.file or "", error=error)
    for entry in reading.entries:
        yield _check(entry, landing)


def _check_named(environment: Environment, what: str, landing: UPath) -> Checked:
    path = Path(what)
    is_file = path.suffix in SUFFIXES
    try:
        if is_file:
            entry = CatalogEntry(load_task(path, environment.endpoint_kinds()), path)
        else:
            entry = open_catalog(environment).get(what)
    except PromptoryError as error:
        return Checked(error.file or what, error=error)
    return _check(entry, landing)


def _check(entry: CatalogEntry, landing: UPath) -> Checked:
    task = entry.task
    try:
        _check_functions(task, entry.path)
        result, counts = check_dataset(task, entry.path, landing)
    except PromptoryError as error:
        return Checked(str(entry.path), task.name, error)
    rows, read = list(result.rows.values()), fields_read(task.prompt.version())
    findings = {
        "duplicate_rows": duplicates_finding(result.quarantined),
        "split_leakage": leakage_finding(rows, read),
        "near_leakage": near_leakage_finding(rows, read),
        "label_balance": balance_finding(rows, task.prompt.steps[-1].output),
    }
    return Checked(str(entry.path), task.name, None, counts, [asdict(row) for row in result.quarantined], findings)


def _check_functions(task: Task, path: Path) -> None:
    """Here, and not wherever a task file is read: it imports code of the user's own."""
    try:
        for spec in task.evaluators:
            if not isinstance(spec, AskingSpec):
                open_evaluator(spec, task.prompt.steps[-1].output)
    except InputError as error:
        raise InputError(error.problem, file=error.file or str(path), field=error.field, mend=error.mend) from error


def _values(result: Checked) -> dict[str, Any]:
    return {
        "file": result.file,
        "name": result.name,
        "ok": result.error is None,
        "error": result.error.as_dict() if result.error else None,
        "rows": sum(result.split_rows.values()),
        "split_rows": result.split_rows,
        "quarantined": result.quarantined,
        "findings": {name: asdict(finding) for name, finding in result.findings.items()},
    }


def _show(console: Console, results: list[Checked]) -> None:
    for result in results:
        if result.error:
            show_error(result.error)
            continue
        counts = ", ".join(f"{count:,} {split}" for split, count in result.split_rows.items())
        console.print(
            Text.assemble(("ok", "green"), f"  {result.name}: {sum(result.split_rows.values()):,} rows ({counts})")
        )
        for finding in result.findings.values():
            if not finding.passed:
                console.print(Text.assemble(("warning", "yellow"), f"  {finding.sentence}"))
        if result.quarantined:
            columns = ("row", "kind", "field", "problem", "mend")
            rows = [[row[name] or "" for name in columns] for row in result.quarantined[:SHOWN_ROWS]]
            title = f"{len(result.quarantined)} rows are not used"
            console.print(table(title, columns, rows))
