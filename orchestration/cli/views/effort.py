"""What a run took: calls, tokens, dollars, seconds, from the ledger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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
    """Calls and money of a task up to some moment."""

    calls: int = 0
    cached: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    spent_nano_usd: int = 0
    ambiguous_nano_usd: int = 0

    def minus(self, before: Spent) -> Spent:
        """What came after `before`."""
        return Spent(
            self.calls - before.calls,
            self.cached - before.cached,
            self.input_tokens - before.input_tokens,
            self.output_tokens - before.output_tokens,
            self.spent_nano_usd - before.spent_nano_usd,
            self.ambiguous_nano_usd - before.ambiguous_nano_usd,
        )

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
    """The ledger's sums of a task before and after a run, and what the run itself counted."""

    def __init__(self, before: Spent) -> None:
        self._before = before
        self.in_all = before
        self.reused_answers = 0
        self.seconds = 0.0

    @property
    def now(self) -> Spent:
        """What this run added. Exact where no other process works on the same task meanwhile."""
        return self.in_all.minus(self._before)

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
    effort = Effort(_read(database, task))
    yield effort
    effort.in_all = _read(database, task)


def _read(database: Database, task: str) -> Spent:
    with database.session(read_only=True) as session:
        counts = count_calls(session, task)
        lines = spend(session, "task", task=task)
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
