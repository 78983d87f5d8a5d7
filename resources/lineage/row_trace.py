"""From a dataset row to everything it touched: versions, evaluations, calls, and prompts that show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session
from upath import UPath

from domain.dataset import DatasetVersion, Row, Split, SplitFractions, make_row
from domain.errors import NotFoundError
from domain.prompt import PromptVersion
from resources.database.repositories import dataset_versions, evaluations, ledger, prompt_versions
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.ledger import CallRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.results import ExampleResult
from resources.evaluation.stored_examples import read_examples
from resources.lineage.demonstrations import ShownRow, rows_shown
from resources.lineage.removed_calls import RemovedCalls
from resources.lineage.row_references import find_versions, resolve_row_id
from resources.storage.datasets import DatasetStore


@dataclass(frozen=True, slots=True)
class RowInVersion:
    """The row as one dataset version holds it; an edited row has another text in a later version."""

    dataset: DatasetVersion
    row: Row


@dataclass(frozen=True, slots=True)
class RowResult:
    """What one evaluation found on the row."""

    evaluation: EvaluationRecord
    example: ExampleResult


@dataclass(frozen=True, slots=True)
class Showing:
    """A prompt version that shows the row as a demonstration, and where in it."""

    prompt: PromptVersionRecord
    step: str
    number: int


@dataclass(frozen=True, slots=True)
class RowTrace:
    """Everything one row touched.

    Attributes:
        versions: newest first.
        results: of the evaluations on these versions, newest first.
        calls: oldest first.
        shown_in: by prompt version, newest first.
        prompts: the prompt versions that calls or results name, by id; candidates nobody kept are absent.
        missing: one sentence per file that should be there and is not.
    """

    task: str
    row_id: str
    versions: tuple[RowInVersion, ...]
    results: tuple[RowResult, ...]
    calls: tuple[CallRecord, ...]
    shown_in: tuple[Showing, ...]
    prompts: dict[str, PromptVersionRecord]
    missing: tuple[str, ...]


def trace_row(database: Database, root: UPath, where: str, reference: str) -> RowTrace:
    """Follow a row to all it touched; one column of each of the task's snapshots is read on the way.

    Where a prompt's demonstrations have a part of its fields, the snapshot that holds it is read whole, to see whether
    another row may be meant.

    Args:
        where: a task, `TASK@v3`, or the beginning of a dataset version's id: there the row must be.
        reference: the row's id, or at least its first 6 characters.

    Raises:
        NotFoundError: no such task, version or row, or the version's file is gone.
        InputError: a reference is the beginning of several ids.
    """
    store = DatasetStore(root)
    with database.session(read_only=True) as session:
        named = find_versions(session, where)
        row_id = resolve_row_id(reference, named, store.row_ids)
        return _Tracer(session, root, named[0].task, row_id).trace()


class _Tracer:
    def __init__(self, session: Session, root: UPath, task: str, row_id: str) -> None:
        self._session = session
        self._root = root
        self._task = task
        self._row_id = row_id
        self._missing: list[str] = []
        self._rows: dict[str, list[Row]] = {}

    def trace(self) -> RowTrace:
        held = self._held()
        prompts = {one.id: one for one in prompt_versions.list_prompt_versions(self._session, self._task)}
        shown = tuple(one for record in prompts.values() for one in self._showings(record, held))
        results, calls = self._results(held), self._calls(held)
        named = {call.prompt_version_id for call in calls} | {one.evaluation.prompt_version_id for one in results}
        return RowTrace(
            task=self._task,
            row_id=self._row_id,
            versions=tuple(held),
            results=tuple(results),
            calls=tuple(calls),
            shown_in=shown,
            prompts={version_id: record for version_id, record in prompts.items() if version_id in named},
            missing=tuple(self._missing),
        )

    def _held(self) -> list[RowInVersion]:
        store, held = DatasetStore(self._root), []
        for version in dataset_versions.list_dataset_versions(self._session, self._task):
            try:
                row = store.find(version, self._row_id)
            except NotFoundError as error:
                self._missing.append(str(error))
                continue
            if row is not None:
                held.append(RowInVersion(version, row))
        return held

    def _results(self, held: Sequence[RowInVersion]) -> list[RowResult]:
        splits = {one.dataset.id: str(one.row.split) for one in held}
        found: list[RowResult] = []
        for record in evaluations.list_evaluations(self._session, self._task):
            if splits.get(record.dataset_version_id) != record.split:
                continue
            try:
                examples = read_examples(self._root, record, self._row_id)
            except NotFoundError as error:
                self._missing.append(str(error))
                continue
            found.extend(RowResult(record, example) for example in examples)
        return found

    def _calls(self, held: Sequence[RowInVersion]) -> list[CallRecord]:
        """Calls made for a dataset version that holds the row.

        A call from outside any version counts where the row's id follows from its text, and so does the call's.
        """
        versions = {one.dataset.id for one in held}
        from_text = any(_derived_id(one.row) == self._row_id for one in held)
        return [
            call
            for call in [
                *RemovedCalls(self._session, self._root).of_row(self._task, self._row_id),
                *ledger.calls_of_row(self._session, self._task, self._row_id),
            ]
            if call.dataset_version_id in versions
            or (from_text and call.dataset_version_id is None and call.batch_id is None)
        ]

    def _showings(self, record: PromptVersionRecord, held: Sequence[RowInVersion]) -> list[Showing]:
        distinct = {one.row.input_id: one for one in held}
        return [
            Showing(record, step, number)
            for step, number in sorted({place for one in distinct.values() for place in self._places(record, one)})
        ]

    def _places(self, record: PromptVersionRecord, held: RowInVersion) -> set[tuple[str, int]]:
        """Where the prompt shows the row; other rows are read only where some of them might be shown there instead."""
        places = {(one.step, one.number) for one in rows_shown(record.prompt, [held.row]) if one.alike}
        if not places or _shows_whole_rows(record.prompt, held.row):
            return places
        return {(one.step, one.number) for one in self._all_shown(record, held.dataset) if one.row_id == self._row_id}

    def _all_shown(self, record: PromptVersionRecord, dataset: DatasetVersion) -> list[ShownRow]:
        if dataset.id not in self._rows:
            self._rows[dataset.id] = DatasetStore(self._root).read(dataset, list(Split))
        return rows_shown(record.prompt, self._rows[dataset.id])


def _shows_whole_rows(prompt: PromptVersion, row: Row) -> bool:
    """Whether every demonstration has all of the row's fields, in which no two rows of a version agree."""
    return all(row.inputs.keys() <= shown.inputs.keys() for step in prompt.steps for shown in step.demonstrations)


def _derived_id(row: Row) -> str:
    """The id that a row without one of its own gets from its text."""
    return make_row(row.inputs, None, None, SplitFractions()).row_id
