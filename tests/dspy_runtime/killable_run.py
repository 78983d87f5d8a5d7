"""A process that runs an optimizer with its journal in a SQLite file, to be killed.

    python killable_run.py <database file> <log of the provider> <calls>

The log gets one line per answered call, as a provider's invoice would. After so many calls no answer is handed over any
more: the kill comes in time, however late.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

from dspy_runtime.scripted import THREADS, ScriptedModel, run

from domain.optimization import RandomSearchSpec
from resources.database.session import open_database
from resources.dspy_runtime.results import OptimizationResult
from resources.dspy_runtime.stored_journal import StoredJournal
from resources.llm.types import CallContext, Completion, Request

LATENCY_S = 0.003
SPEC = RandomSearchSpec(candidates=3, max_bootstrapped=2, max_labeled=5, threads=THREADS)


class Billing(ScriptedModel):
    """Bills each answer before it is handed over, a moment later."""

    def __init__(self, invoice: Path, calls: int | None) -> None:
        super().__init__()
        self._invoice = invoice
        self._calls = calls
        self._numbers = itertools.count()

    def __call__(self, request: Request, context: CallContext) -> Completion:
        answer = super().__call__(request, context)
        with self._invoice.open("a") as stream:
            stream.write("1\n")
        if self._calls is not None:
            time.sleep(LATENCY_S)
            if next(self._numbers) >= self._calls:
                threading.Event().wait()
        return answer


def run_billed(database: Path, invoice: Path, calls: int | None = None) -> OptimizationResult:
    opened = open_database(f"sqlite:///{database}")
    try:
        return run(SPEC, Billing(invoice, calls), StoredJournal(opened, lambda: datetime.now(UTC)))
    finally:
        opened.dispose()


if __name__ == "__main__":
    run_billed(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
