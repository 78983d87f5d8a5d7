"""Spending, from the ledger."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from domain.identity import short_id
from orchestration.cli.figures import dollars, usd
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.database.repositories import ledger_days
from resources.database.repositories.spending import SpendKey, SpendLine, spend, totals

KEYS: dict[str, SpendKey] = {
    "task": "task",
    "day": "day",
    "purpose": "purpose",
    "version": "prompt_version",
    "model": "model",
}
UNKNOWN = "(none)"


def spending(by: str, since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """One line per group, and the total."""
    since, until = in_utc(since), in_utc(until)
    with current_database(Environment.read()) as database, database.session(read_only=True) as session:
        lines = spend(session, KEYS[by], since=since, until=until)
        total = totals(session, since=since, until=until)
        compacted = ledger_days.removed_within(session, since, until)
    summed = {
        "calls": sum(line.calls for line in lines),
        "attempts": total.attempts,
        "input_tokens": sum(line.input_tokens for line in lines),
        "output_tokens": sum(line.output_tokens for line in lines),
        **_money(total.spent_nano_usd, total.ambiguous_nano_usd),
    }
    value = {
        "by": by,
        "since": since,
        "until": until,
        "lines": [_values(line) for line in lines],
        "total": summed,
        "compacted": {"days": compacted[0], "cost_nano_usd": compacted[1]},
    }

    def show(console: Console) -> None:
        say_what_is_compacted(console, *compacted)
        if not lines:
            console.print("No call has been paid for in that time.")
            return
        rows = [_cells(by, line) for line in lines]
        amounts = (total.spent_nano_usd, total.ambiguous_nano_usd)
        counts = [f"{summed[name]:,}" for name in ("calls", "attempts", "input_tokens", "output_tokens")]
        rows.append(["total", *counts, *(dollars(amount) for amount in amounts)])
        columns = [by, "calls", "attempts", "tokens in", "tokens out", "spent", "ambiguous"]
        console.print(table("Spending (cache hits cost nothing and are not counted)", columns, rows, right=columns[1:]))

    emit(as_json, value, show)


def say_what_is_compacted(console: Console, days: int, cost_nano_usd: int) -> None:
    """Days that the database no longer has, where there are such."""
    if days:
        console.print(
            f"{days} days with {dollars(cost_nano_usd)} are in the call log's files and not counted here; "
            "`metrics/cost_by_day` has all days.",
            style="yellow",
        )


def _values(line: SpendLine) -> dict[str, Any]:
    values = asdict(line)
    money = _money(values.pop("spent_nano_usd"), values.pop("ambiguous_nano_usd"))
    return {**values, **money}


def _money(spent: int, ambiguous: int) -> dict[str, Any]:
    return {
        "spent_nano_usd": spent,
        "spent_usd": usd(spent),
        "ambiguous_nano_usd": ambiguous,
        "ambiguous_usd": usd(ambiguous),
    }


def _cells(by: str, line: SpendLine) -> list[str]:
    key = line.key or UNKNOWN
    counts = (line.calls, line.attempts, line.input_tokens, line.output_tokens)
    return [
        short_id(key) if by == "version" else key,
        *(f"{count:,}" for count in counts),
        dollars(line.spent_nano_usd),
        dollars(line.ambiguous_nano_usd),
    ]


def in_utc(moment: datetime | None) -> datetime | None:
    """A moment that was typed without a time zone."""
    return None if moment is None else moment.replace(tzinfo=UTC)
