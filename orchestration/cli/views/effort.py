"""What a run took: calls, tokens, dollars, seconds, from the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from orchestration.cli.figures import dollars, usd
from orchestration.cli.screen import table
from orchestration.run_report import RunReport
from resources.database.repositories.call_counts import count_calls
from resources.database.repositories.spending import spend
from resources.database.session import Database


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls and money of a task."""

    calls: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    spent_nano_usd: int = 0
    ambiguous_nano_usd: int = 0

    def values(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "calls": self.calls,
            "cached": self.cached,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cost_nano_usd": self.spent_nano_usd,
            "cost_usd": usd(self.spent_nano_usd),
            "ambiguous_nano_usd": self.ambiguous_nano_usd,
        }


class Effort:
    """The ledger's sums of a task for a run and in all, and what the run itself counted."""

    def __init__(self) -> None:
        self.now = Spent()
        """What was added since the run began. Exact where no other process works on the same task meanwhile."""
        self.in_all = Spent()
        self.reused_answers = 0
        self.seconds = 0.0

    def finished(self, report: RunReport) -> Effort:
        """Add what the run reported."""
        self.seconds = report.seconds
        self.reused_answers = int(report.metadata.get("evaluation", {}).get("reused_answers", 0))
        return self

    def values(self) -> dict[str, Any]:
        """For JSON: this run, and the task since ever."""
        mine = {**self.now.values(), "reused_answers": self.reused_answers, "seconds": round(self.seconds, 2)}
        return {**mine, "task_in_all": self.in_all.values()}

    def show(self, console: Console) -> None:
        """A table of both."""
        columns = ["", "calls", "cache hits", "reused", "tokens", "dollars", "seconds"]
        rows = [
            _cells("this run", self.now, f"{self.reused_answers:,}", f"{self.seconds:.1f}"),
            _cells("task in all", self.in_all, "", ""),
        ]
        console.print(
            table("Effort (reused: stored answers, neither called nor paid for)", columns, rows, right=columns[1:])
        )


@contextmanager
def measured(database: Database, task: str) -> Iterator[Effort]:
    """The effort of what is done for `task` inside the block; complete once the block has ended."""
    effort, began = Effort(), datetime.now(UTC)
    yield effort
    effort.now, effort.in_all = _read(database, task, began), _read(database, task)


def _read(database: Database, task: str, since: datetime | None = None) -> Spent:
    with database.session(read_only=True) as session:
        counts = count_calls(session, task, since=since)
        lines = spend(session, "task", since=since, task=task)
    return Spent(
        counts.calls,
        counts.cached,
        sum(line.input_tokens for line in lines),
        sum(line.output_tokens for line in lines),
        sum(line.spent_nano_usd for line in lines),
        sum(line.ambiguous_nano_usd for line in lines),
    )


def _cells(name: str, spent: Spent, reused: str, seconds: str) -> list[str]:
    tokens = spent.input_tokens + spent.output_tokens
    calls = [f"{spent.calls:,}", f"{spent.cached:,}", reused, f"{tokens:,}"]
    return [name, *calls, dollars(spent.spent_nano_usd), seconds]
