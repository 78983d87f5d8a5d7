"""Importing files of interactions and outcomes, and telling what became of their rows."""

from __future__ import annotations

import csv
from dataclasses import asdict, astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

from domain.errors import InputError
from orchestration.cli.opening import current_database
from orchestration.cli.progress_bars import progress_bars
from orchestration.cli.screen import emit, facts, table
from orchestration.environments import Environment
from resources.database.session import Database
from resources.experiments.importing import Imported, Importer, QuarantinedLine
from resources.observability.progress import board
from resources.storage.location import path_at

SHOWN_ROWS = 20


@dataclass(frozen=True, slots=True)
class Wish:
    """The command's options."""

    interactions: Path | None
    outcomes: Path | None
    max_quarantined: float
    rejected: Path | None


def imported(name: str, wish: Wish, as_json: bool) -> None:
    """Import interactions first, so that outcomes of their calls find them."""
    if wish.interactions is None and wish.outcomes is None:
        raise InputError("there is nothing to import", mend="name a file with --interactions or --outcomes.")
    with progress_bars(shown=not as_json), current_database(Environment.read()) as database:
        done = _import(database, name, wish)
    if wish.rejected is not None:
        _write_rejected(wish.rejected, done)
    value = {"experiment": name, "files": [asdict(one) for one in done]}
    emit(as_json, value, lambda console: _show(console, name, done))


def _import(database: Database, name: str, wish: Wish) -> list[Imported]:
    importer = Importer(database, name, datetime.now(UTC), max_quarantined=wish.max_quarantined, progress=board.report)
    done: list[Imported] = []
    if wish.interactions is not None:
        done.append(importer.interactions(path_at(wish.interactions)))
    if wish.outcomes is not None:
        done.append(importer.outcomes(path_at(wish.outcomes)))
    return done


def _write_rejected(path: Path, done: list[Imported]) -> None:
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["file", *(field.name for field in fields(QuarantinedLine))])
            writer.writerows([one.file, *astuple(line)] for one in done for line in one.quarantined)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", file=str(path), mend="name a file in a folder you may write to."
        ) from error


def _show(console: Console, name: str, done: list[Imported]) -> None:
    for one in done:
        told = {
            one.kind: one.file,
            "rows": f"{one.rows:,}",
            "new": f"{one.new:,}",
            "there already": f"{one.repeated:,}",
        }
        if one.quarantined:
            told["not stored"] = f"{len(one.quarantined):,}"
        console.print(facts(told))
        if one.quarantined:
            rows = [
                [line.row, line.kind, line.field or "", line.problem, line.mend or ""]
                for line in one.quarantined[:SHOWN_ROWS]
            ]
            more = len(one.quarantined) - len(rows)
            title = f"Not stored{f', {more:,} more beside these (see --rejected)' if more else ''}"
            console.print(table(title, ["row", "kind", "field", "problem", "mend"], rows))
    console.print(f"Next: promptory experiment report {name}")
