"""Interactions and outcomes from files: every row is stored, known already, or quarantined with its reason."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeVar

from upath import UPath

from domain.errors import InputError
from resources.catalog.sources.registry import open_source
from resources.database.repositories import experiments, interactions
from resources.database.repositories.interactions import InteractionRecord
from resources.database.repositories.outcomes import OutcomeRecord
from resources.database.session import Database
from resources.experiments.import_rows import OutcomeLine, read_interaction, read_outcome
from resources.experiments.recording import check_outcome, outcome_key, record_outcomes
from resources.experiments.started import Started

ROWS_PER_TRANSACTION = 2_000
Kind = Literal["interactions", "outcomes"]
Progress = Callable[[str, int, int | None], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class QuarantinedLine:
    """A row that was not stored. A `conflict` contradicts an outcome that stands; the others are `invalid`."""

    row: int
    kind: Literal["invalid", "conflict"]
    field: str | None
    problem: str
    mend: str | None


@dataclass(slots=True)
class Imported:
    """What became of a file: `new` rows were stored, `repeated` ones were there before (or twice in the file)."""

    file: str
    kind: Kind
    rows: int = 0
    new: int = 0
    repeated: int = 0
    quarantined: list[QuarantinedLine] = field(default_factory=list)


class Importer:
    """Reads files of one started experiment.

    A file is read as a whole before anything of it is stored, and then stored in portions: one that is killed is
    simply imported again, for rows that are there already change nothing.

    Args:
        max_quarantined: share of invalid rows above which a file is refused as a whole.
        progress: called with a stage, how many rows are done, and of how many (None while that is unknown).
    """

    def __init__(
        self,
        database: Database,
        name: str,
        now: datetime,
        *,
        max_quarantined: float = 0.1,
        progress: Progress = lambda _stage, _done, _total: None,
    ) -> None:
        self._database = database
        self._now = now
        self._max_quarantined = max_quarantined
        self._progress = progress
        with database.session(read_only=True) as session:
            self._started = Started.of(experiments.get(session, name))

    def interactions(self, path: UPath) -> Imported:
        """Answers given elsewhere: `unit_id`, `at`, and if known `variant`, `id`, `call_id`, `cost_usd`, `latency_s`.

        Raises:
            InputError: the file cannot be read, lacks a column, or most of it is invalid. Nothing is stored then.
        """
        done = Imported(str(path), "interactions")
        read: dict[str, InteractionRecord] = {}
        for row, values in self._rows(path, done, ("unit_id", "at")):
            record = self._kept(done, row, partial(read_interaction, self._started, values, self._now))
            if record is not None and read.setdefault(record.id, record) is not record:
                done.repeated += 1
        self._refuse_if_bad(done)
        for chunk in self._chunks(list(read.values()), done):
            with self._database.session() as session:
                new = interactions.put_many(session, chunk)
            done.new += new
            done.repeated += len(chunk) - new
        return done

    def outcomes(self, path: UPath) -> Imported:
        """Outcomes: `value`, `at`, and `unit_id` or `call_id`. Import the interactions of calls first.

        Raises:
            InputError: as for `interactions`.
        """
        done = Imported(str(path), "outcomes")
        lines: list[OutcomeLine] = []
        for row, values in self._rows(path, done, ("value", "at")):
            line = self._kept(done, row, partial(read_outcome, row, values, self._now))
            if line is not None:
                lines.append(line)
        records = self._outcome_records(done, lines)
        self._refuse_if_bad(done)
        by_key = {record.key: row for row, record in records}
        for chunk in self._chunks([record for _, record in records], done):
            with self._database.session() as session:
                recorded = record_outcomes(session, chunk)
            done.new += recorded.new
            done.repeated += recorded.repeated
            done.quarantined += [
                _conflict(by_key[key], stands, refused) for key, (stands, refused) in recorded.conflicts.items()
            ]
        return done

    def _outcome_records(self, done: Imported, lines: list[OutcomeLine]) -> list[tuple[int, OutcomeRecord]]:
        name = self._started.experiment.name
        with self._database.session(read_only=True) as session:
            units = interactions.units_of_calls(session, name, [line.call_id for line in lines if line.call_id])
        records: dict[str, tuple[int, OutcomeRecord]] = {}
        for line in lines:
            record = self._kept(done, line.row, partial(self._outcome, line, units))
            if record is None:
                continue
            _, first = records.setdefault(record.key, (line.row, record))
            if first is not record and first.value == record.value:
                done.repeated += 1
            elif first is not record:
                done.quarantined.append(_conflict(line.row, first.value, record.value))
        return list(records.values())

    def _outcome(self, line: OutcomeLine, units: dict[str, str]) -> OutcomeRecord:
        unit = units.get(line.call_id) if line.call_id else line.unit_id
        if unit is None:
            raise InputError(
                f"the experiment made no call {line.call_id!r}", field="call_id", mend="import its interactions first."
            )
        if line.unit_id is not None and line.unit_id != unit:
            raise InputError("the call answered another unit", field="unit_id", mend="correct the unit or the call.")
        check_outcome(self._started.experiment.metric, unit, line.value, line.at, self._now)
        key = outcome_key(unit, line.call_id)
        return OutcomeRecord(
            self._started.experiment.name, key, unit, line.call_id, line.value, line.at, self._now, "import"
        )

    def _rows(self, path: UPath, done: Imported, needed: Sequence[str]) -> Iterator[tuple[int, dict[str, Any]]]:
        table = open_source(path)
        for column in needed:
            if column not in table.columns:
                raise InputError(
                    f"there is no column {column!r}",
                    file=str(path),
                    row=1,
                    field=column,
                    mend=f"columns found: {', '.join(table.columns)}.",
                )
        for raw in table.rows:
            done.rows += 1
            if done.rows % ROWS_PER_TRANSACTION == 0:
                self._progress("reading", done.rows, None)
            if raw.problem:
                done.quarantined.append(
                    QuarantinedLine(raw.number, "invalid", None, raw.problem, "correct the line; quote such cells.")
                )
                continue
            yield raw.number, raw.values

    def _kept(self, done: Imported, row: int, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except InputError as error:
            done.quarantined.append(QuarantinedLine(row, "invalid", error.field, error.problem, error.mend))
            return None

    def _refuse_if_bad(self, done: Imported) -> None:
        invalid = [line for line in done.quarantined if line.kind == "invalid"]
        if not done.rows:
            raise InputError("the file holds no row", file=done.file, mend="add rows below the header.")
        if len(invalid) <= self._max_quarantined * done.rows:
            return
        first = invalid[0]
        raise InputError(
            f"{len(invalid)} of {done.rows} rows cannot be used, so nothing was stored. The first: {first.problem}",
            file=done.file,
            row=first.row,
            field=first.field,
            mend=first.mend,
        )

    def _chunks(self, records: list[T], done: Imported) -> Iterable[list[T]]:
        for start in range(0, len(records), ROWS_PER_TRANSACTION):
            self._progress(f"storing {done.kind}", start, len(records))
            yield records[start : start + ROWS_PER_TRANSACTION]
        self._progress(f"storing {done.kind}", len(records), len(records))


def _conflict(row: int, stands: float, refused: float) -> QuarantinedLine:
    problem = f"{stands:g} is recorded already for this unit or call; {refused:g} was refused"
    return QuarantinedLine(row, "conflict", "value", problem, "the first outcome stands.")
