"""Reserves against bills, per model."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console

from orchestration.cli.figures import dollars, percent, usd
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, table
from orchestration.cli.views.cost import in_utc
from orchestration.environments import Environment
from resources.database.repositories.reserves import ReserveLine, reserve_lines

TOKEN_COLUMNS = [
    "model",
    "in reserved",
    "in billed",
    "used",
    "out reserved",
    "out billed",
    "used",
    "worst under-reserve",
]
COLUMNS = ["model", "attempts", "tokens in", "tokens out", "reserved", "cost", "used", "least", "most", "overruns"]


def compared(since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """One line per model, over attempts whose bill is known."""
    since, until = in_utc(since), in_utc(until)
    with current_database(Environment.read()) as database, database.session(read_only=True) as session:
        lines = reserve_lines(session, since=since, until=until)

    def show(console: Console) -> None:
        if not lines:
            console.print("No answered attempt has been paid for in that time.")
            return
        title = "Reserves against bills (an attempt reserves its worst case and gives the rest back when it ends)"
        console.print(table(title, COLUMNS, [_cells(line) for line in lines], right=COLUMNS[1:], whole=["model"]))
        counted = [_token_cells(line) for line in lines if line.output_reserve.reserved]
        if counted:
            console.print(table("The same in tokens", TOKEN_COLUMNS, counted, right=TOKEN_COLUMNS[1:], whole=["model"]))

    emit(as_json, {"since": since, "until": until, "lines": [_values(line) for line in lines]}, show)


def _values(line: ReserveLine) -> dict[str, Any]:
    return {
        **asdict(line),
        "use": line.use,
        "input_reserve": {**asdict(line.input_reserve), "use": line.input_reserve.use},
        "output_reserve": {**asdict(line.output_reserve), "use": line.output_reserve.use},
        "reserved_usd": usd(line.reserved_nano_usd),
        "cost_usd": usd(line.cost_nano_usd),
        "largest_reserve_usd": usd(line.largest_reserve_nano_usd),
        "input_tokens_per_attempt": line.input_tokens / line.attempts,
        "output_tokens_per_attempt": line.output_tokens / line.attempts,
    }


def _cells(line: ReserveLine) -> list[str]:
    shares = (_share(share) for share in (line.use, line.lowest_use, line.highest_use))
    return [
        line.model,
        *(f"{count:,}" for count in (line.attempts, line.input_tokens, line.output_tokens)),
        dollars(line.reserved_nano_usd),
        dollars(line.cost_nano_usd),
        *shares,
        f"{line.overruns:,}",
    ]


def _token_cells(line: ReserveLine) -> list[str]:
    read, said = line.input_reserve, line.output_reserve
    sides = (cell for side in (read, said) for cell in (f"{side.reserved:,}", f"{side.billed:,}", _share(side.use)))
    return [line.model, *sides, f"{max(read.worst_under, said.worst_under):,}"]


def _share(share: float | None) -> str:
    return "–" if share is None else percent(share)
