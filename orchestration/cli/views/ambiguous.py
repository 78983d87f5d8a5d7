"""Attempts that may have been billed: sent, and never answered."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console

from orchestration.cli.figures import dollars, usd
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, table
from orchestration.cli.views.cost import in_utc, say_what_is_compacted
from orchestration.environments import Environment
from resources.database.repositories import ledger_days
from resources.database.repositories.ledger import AttemptRecord, ambiguous_attempts

SHOWN = 200
COLUMNS = ["sent (UTC)", "task", "model", "ended as", "charged", "call", "provider's id"]


def listed(since: datetime | None, until: datetime | None, as_json: bool) -> None:
    """One line per attempt, the oldest first, for holding against a provider's invoice."""
    since, until = in_utc(since), in_utc(until)
    with current_database(Environment.read()) as database, database.session(read_only=True) as session:
        attempts = ambiguous_attempts(session, since=since, until=until)
        days, cost = ledger_days.removed_within(session, since, until)
    total = sum(one.cost_nano_usd for one in attempts)

    def show(console: Console) -> None:
        say_what_is_compacted(console, days, cost)
        if not attempts:
            console.print("Every attempt in that time was answered, or was never sent.")
            return
        title = f"{len(attempts):,} attempts whose bill is unknown, charged with their reserve: {dollars(total)}"
        newest = attempts[-SHOWN:]
        console.print(table(title, COLUMNS, [_cells(one) for one in newest], right=["charged"], whole=["call"]))
        if len(newest) < len(attempts):
            console.print(f"The newest {SHOWN} of them; `--since`, `--until` or `--json` show the others.")
        console.print("`promptory trace call <call>` shows what an attempt was made for.")

    value = {
        "since": since,
        "until": until,
        "attempts": [{**asdict(one), "cost_usd": usd(one.cost_nano_usd)} for one in attempts],
        "ambiguous_nano_usd": total,
        "ambiguous_usd": usd(total),
        "compacted": {"days": days, "cost_nano_usd": cost},
    }
    emit(as_json, value, show)


def _cells(one: AttemptRecord) -> list[Any]:
    tasks = [scope.removeprefix("task:") for scope in one.scopes if scope.startswith("task:")]
    return [
        f"{one.started_at:%Y-%m-%d %H:%M:%S}",
        ", ".join(tasks) or "–",
        one.model,
        one.outcome,
        dollars(one.cost_nano_usd),
        one.call_id,
        one.provider_request_id or "–",
    ]
