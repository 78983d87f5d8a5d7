"""Reading a labelled file and writing the task file it suggests, checked before it is left behind."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from domain.errors import InputError
from domain.names import TASK_NAME_PATTERN
from domain.task import Task
from orchestration.cli.drafting.sniffing import Answers, JsonAnswers, object_schema, sniff
from orchestration.cli.drafting.task_text import Draft, task_text
from orchestration.cli.screen import emit, facts
from orchestration.cli.views.validation import check_dataset
from orchestration.environments import Environment
from resources.catalog.catalog import TASK_FOLDER
from resources.catalog.ingest import Ingested
from resources.catalog.sources.reading import RawRow, RawTable
from resources.catalog.sources.registry import open_source
from resources.catalog.task_file import load_task
from resources.storage.location import path_at

GENERIC_STEMS = ("train", "data", "dataset", "test", "rows", "all")
FIELD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Wish:
    """What was typed."""

    source: Path
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    name: str | None
    model: str
    force: bool


def drafted(wish: Wish, as_json: bool) -> None:
    """Write the task file and say what was found.

    Raises:
        InputError: the file or a column cannot be used, or the task file exists.
    """
    environment = Environment.read()
    draft, path = _draft(wish, environment)
    task, ingested, counts = _write(path, task_text(draft), environment)
    value = {
        "task": task.name,
        "file": str(path),
        "output": task.prompt.steps[-1].output.model_dump(mode="json", by_alias=True),
        "evaluators": [spec.kind for spec in task.evaluators],
        "rows": len(ingested.rows),
        "split_rows": counts,
        "quarantined": len(ingested.quarantined),
    }

    def show(console: Console) -> None:
        splits = ", ".join(f"{count:,} {split}" for split, count in counts.items())
        output = task.prompt.steps[-1].output
        told = {"wrote": path, "answers": _describe(output.kind, draft.answers)}
        told |= {"metric": task.metric.kind, "rows": f"{len(ingested.rows):,} ({splits})"}
        if ingested.quarantined:
            told["left out"] = f"{len(ingested.quarantined)} rows; see promptory task validate {task.name}"
        console.print(facts(told))
        console.print(f"Next: write its system prompt, then promptory optimize {task.name} --dry-run")

    emit(as_json, value, show)


def _draft(wish: Wish, environment: Environment) -> tuple[Draft, Path]:
    folder = environment.catalog / TASK_FOLDER
    name = wish.name or _name_from(wish.source)
    if not re.fullmatch(TASK_NAME_PATTERN, name):
        raise InputError(
            f"{name!r} cannot name a task",
            field="name",
            mend="give one with --name: small letters, digits and underscores, starting with a letter.",
        )
    path = folder / f"{name}.yaml"
    if path.exists() and not wish.force:
        raise InputError(
            "the task file exists", file=str(path), mend="choose another --name, or replace it with --force."
        )
    table = open_source(path_at(wish.source))
    inputs, outputs = _columns(wish.inputs), _columns(wish.outputs)
    _check_columns(wish.source, table, inputs, outputs)
    rows = [row for row in table.rows if row.problem is None]
    draft = Draft(
        name=name,
        source=_source_as_written(wish.source, folder),
        inputs=inputs,
        outputs=outputs,
        model=wish.model,
        answers=_answers(wish.source, rows, outputs),
        id_column=_id_column(table.columns, rows, (*inputs, *outputs)),
        rows=len(rows),
    )
    return draft, path


def _columns(given: Sequence[str]) -> tuple[str, ...]:
    """`--input a,b` is `--input a --input b`."""
    return tuple(name.strip() for part in given for name in part.split(",") if name.strip())


def _check_columns(source: Path, table: RawTable, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    known = f"the columns are: {', '.join(table.columns)}."
    for field, names in (("input", inputs), ("output", outputs)):
        for name in names or ("",):
            if not name or name not in table.columns:
                raise InputError(f"there is no column {name!r}", file=str(source), row=1, field=field, mend=known)
    for name in inputs:
        if not FIELD.fullmatch(name):
            raise InputError(
                f"the column {name!r} cannot be a template's field",
                file=str(source),
                row=1,
                field="input",
                mend="rename it: letters, digits and underscores, not starting with a digit.",
            )
    twice = set(inputs) & set(outputs)
    if twice:
        raise InputError(
            f"{', '.join(sorted(twice))} is both input and output",
            file=str(source),
            field="input",
            mend="a prompt that sees the answer learns nothing; name other columns.",
        )


def _answers(source: Path, rows: Sequence[RawRow], outputs: Sequence[str]) -> Answers:
    if len(outputs) > 1:
        return JsonAnswers(object_schema([{name: row.values.get(name) for name in outputs} for row in rows]))
    values: list[Any] = [row.values.get(outputs[0]) for row in rows]
    given = [value for value in values if value is not None and value != ""]
    if not given:
        raise InputError(
            "the column of expected answers is empty",
            file=str(source),
            field=outputs[0],
            mend="name the column that holds the labels.",
        )
    return sniff(given)


def _id_column(columns: Sequence[str], rows: Sequence[RawRow], used: Sequence[str]) -> str | None:
    """A column called `id` (or `*_id`) whose values are all there and all different."""
    for name in columns:
        if name in used or not (name.lower() == "id" or name.lower().endswith("_id")):
            continue
        values = [str(row.values.get(name) or "") for row in rows]
        if all(values) and len(set(values)) == len(values):
            return name
    return None


def _name_from(source: Path) -> str:
    resolved = source.resolve()
    stem = resolved.parent.name if resolved.stem.lower() in GENERIC_STEMS else resolved.stem
    return re.sub(r"[^a-z0-9]+", "_", stem.lower()).strip("_")


def _source_as_written(source: Path, folder: Path) -> str:
    """Relative where both lie below the current folder, so that the checkout can move; else absolute."""
    here = Path.cwd().resolve()
    file, tasks = source.resolve(), folder.resolve()
    if file.is_relative_to(here) and tasks.is_relative_to(here):
        return Path(os.path.relpath(file, tasks)).as_posix()
    return str(file)


def _write(path: Path, text: str, environment: Environment) -> tuple[Task, Ingested, dict[str, int]]:
    """Write beside the target, load it and read every row, then put it in place: a bad draft leaves nothing.

    Raises:
        InputError: the draft cannot be used.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    draft.write_text(text, encoding="utf-8")
    try:
        task = load_task(draft, environment.endpoint_kinds())
        ingested, counts = check_dataset(task, draft, path_at(environment.landing_root))
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return task, ingested, counts


def _describe(kind: str, answers: Answers) -> str:
    labels = getattr(answers, "labels", None)
    return f"{kind} of {len(labels)} labels" if labels else kind
