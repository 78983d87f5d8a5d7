"""From dataset files to clean rows: every row is used, or quarantined with its reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from upath import UPath

from domain.dataset import Row, cell_text, input_key, make_row
from domain.errors import InputError
from domain.evaluators.annotations import annotation_columns, check_annotations
from domain.evaluators.registry import check_expected
from domain.task import Task
from resources.catalog.expected import expected_value
from resources.catalog.sources.reading import RawRow
from resources.catalog.sources.registry import open_source
from resources.storage.listing import Entry, files_below, list_folder
from resources.storage.location import path_at
from resources.storage.reading import open_to_read

QuarantineKind = Literal["invalid", "duplicate"]


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row that was not used. `duplicate` rows lose nothing; `invalid` ones count against the file."""

    file: str
    row: int
    kind: QuarantineKind
    problem: str
    field: str | None = None
    mend: str | None = None


@dataclass(slots=True)
class Ingested:
    """Clean rows by id, and what was set aside.

    Attributes:
        sources: per file its path, rows used and SHA-256.
    """

    rows: dict[str, Row] = field(default_factory=dict)
    quarantined: list[QuarantinedRow] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)


def ingest(task: Task, files: Sequence[UPath]) -> Ingested:
    """Read `files` in order; a row of a later file replaces the earlier one with its id or its input.

    Raises:
        InputError: a file is unusable: missing column, not UTF-8, empty, or more than `dataset.max_quarantined` of its
            rows are invalid. Nothing is stored then.
    """
    result = Ingested()
    by_input: dict[str, str] = {}
    for path in files:
        used = _FileReading(task, path).read(result.quarantined)
        for row in used:
            key = input_key(row.inputs)
            replaced = by_input.get(key)
            if replaced is not None and replaced != row.row_id:
                result.rows.pop(replaced, None)
            _forget_input(result.rows.get(row.row_id), by_input)
            result.rows[row.row_id] = row
            by_input[key] = row.row_id
        result.sources.append({"file": str(path), "rows": len(used), "sha256": file_digest(path)})
    return result


def _forget_input(row: Row | None, by_input: dict[str, str]) -> None:
    if row is not None:
        by_input.pop(input_key(row.inputs), None)


class _FileReading:
    """One file of a task: its rows checked against the task and against each other."""

    def __init__(self, task: Task, path: UPath) -> None:
        self._task = task
        self._path = path
        self._contract = task.prompt.steps[-1].output
        self._pattern = re.compile(task.dataset.answer_pattern) if task.dataset.answer_pattern else None
        self._annotated = annotation_columns(task.evaluators)
        self._used_columns = {name for names in self._wanted().values() for name in names}
        self._seen_ids: dict[str, int] = {}
        self._seen_inputs: dict[str, tuple[int, Any]] = {}

    def read(self, quarantined: list[QuarantinedRow]) -> list[Row]:
        table = open_source(self._path)
        self._check_columns(table.columns)
        total = 0
        used: list[Row] = []
        set_aside: list[QuarantinedRow] = []
        for raw in table.rows:
            total += 1
            try:
                used.append(self._row(raw))
            except _DuplicateRowError as error:
                set_aside.append(self._quarantine(raw, error, "duplicate"))
            except InputError as error:
                set_aside.append(self._quarantine(raw, error, "invalid"))
        self._refuse_if_bad(total, used, set_aside)
        quarantined.extend(set_aside)
        return used

    def _row(self, raw: RawRow) -> Row:
        if raw.problem:
            raise InputError(raw.problem, mend="correct the line; quote cells that hold the delimiter.")
        for name, why in raw.unreadable.items():
            if name in self._used_columns:
                raise InputError(why, field=name, mend="write it as text, or drop the row.")
        spec = self._task.dataset
        inputs = {name: cell_text(raw.values.get(name), name) for name in spec.inputs}
        if not any(inputs.values()):
            raise InputError("every input is empty", field=spec.inputs[0], mend="fill it, or drop the row.")
        expected = expected_value(spec.output, raw.values, self._contract, self._pattern)
        self._check_expected(expected)
        annotations = {name: text for name in self._annotated if (text := cell_text(raw.values.get(name), name))}
        check_annotations(self._task.evaluators, annotations)
        row_id = cell_text(raw.values.get(spec.id), spec.id) if spec.id else None
        row = make_row(inputs, expected, row_id, spec.split, annotations)
        self._check_unique(row, raw.number, has_own_id=spec.id is not None)
        return row

    def _check_expected(self, expected: Any) -> None:
        try:
            check_expected(self._task.evaluators, self._contract, expected)
        except InputError as error:
            output = self._task.dataset.output
            column = output if isinstance(output, str) else ", ".join(output)
            raise InputError(error.problem, field=error.field or column, mend=error.mend) from error

    def _check_unique(self, row: Row, number: int, *, has_own_id: bool) -> None:
        if has_own_id and row.row_id in self._seen_ids:
            raise InputError(
                f"the id {row.row_id!r} stands already in row {self._seen_ids[row.row_id]}",
                field=self._task.dataset.id,
                mend="give every row an id of its own.",
            )
        key = input_key(row.inputs)
        if key in self._seen_inputs:
            first, expected = self._seen_inputs[key]
            if expected == row.output:
                raise _DuplicateRowError(f"the same input and answer stand already in row {first}")
            raise InputError(
                f"the same input stands in row {first} with another answer",
                field=self._task.dataset.inputs[0],
                mend="keep the right one of the two.",
            )
        self._seen_ids[row.row_id] = number
        self._seen_inputs[key] = (number, row.output)

    def _wanted(self) -> dict[str, Iterable[str]]:
        """Columns by the setting that names them."""
        spec = self._task.dataset
        return {
            "dataset.inputs": spec.inputs,
            "dataset.output": spec.output if isinstance(spec.output, tuple) else (spec.output,),
            "dataset.id": (spec.id,) if spec.id else (),
            "evaluators.judge.calibration": self._annotated,
        }

    def _check_columns(self, columns: tuple[str, ...]) -> None:
        for field_name, names in self._wanted().items():
            for name in names:
                if name not in columns:
                    raise InputError(
                        f"there is no column {name!r}",
                        file=str(self._path),
                        row=1,
                        field=field_name,
                        mend=f"the columns are: {', '.join(columns)}.",
                    )

    def _quarantine(self, raw: RawRow, error: InputError, kind: QuarantineKind) -> QuarantinedRow:
        return QuarantinedRow(str(self._path), raw.number, kind, error.problem, error.field, error.mend)

    def _refuse_if_bad(self, total: int, used: list[Row], set_aside: list[QuarantinedRow]) -> None:
        invalid = [row for row in set_aside if row.kind == "invalid"]
        if used and len(invalid) <= self._task.dataset.max_quarantined * total:
            return
        if not invalid:
            raise InputError("the dataset holds no row", file=str(self._path), mend="add labelled rows.")
        first = invalid[0]
        raise InputError(
            f"{len(invalid)} of {total} rows cannot be used; the first: {first.problem}",
            file=first.file,
            row=first.row,
            field=first.field,
            mend=first.mend,
        )


class _DuplicateRowError(InputError):
    """The row repeats an earlier one exactly."""


def landing_files(landing_root: UPath, task_name: str) -> list[Entry]:
    """The dataset files dropped for a task into `<landing_root>/<task>/`, oldest name first.

    Names that start with `.` or `_`, or end in `.tmp` or `.part`, are uploads still under way.
    """
    return [entry for entry in list_folder(landing_root / task_name) if not _is_partial(entry.name)]


def declared_source(task: Task, task_path: Path) -> UPath:
    """The dataset file that the task file at `task_path` names."""
    source = path_at(task.dataset.source)
    return source if source.is_absolute() or source.protocol else UPath((task_path.parent / source.path).resolve())


def source_files(task: Task, task_path: Path, landing_root: UPath) -> list[UPath]:
    """All files of a task's dataset in the order they are read: the declared source, then what landed."""
    return [declared_source(task, task_path), *(entry.path for entry in landing_files(landing_root, task.name))]


def _is_partial(name: str) -> bool:
    return name.startswith((".", "_")) or name.endswith((".tmp", ".part"))


def file_digest(path: UPath) -> str:
    """SHA-256 of a file, or of all files of a folder in the order of their names."""
    files = [entry.path for entry in files_below(path)] if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        with open_to_read(file) as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()
