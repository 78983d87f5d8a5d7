"""A process that runs an optimizer with its journal in a SQLite file, to be killed.

    python killable_run.py <database file> <log of the provider>

The log gets one line per answered call, as a provider's invoice would.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from dspy_runtime.scripted import THREADS, ScriptedModel, run

from domain.optimization import RandomSearchSpec
from resources.database.session import open_database
from resources.dspy_runtime.results import OptimizationResult
from resources.dspy_runtime.stored_journal import StoredJournal
from resources.llm.types import CallContext, Completion, Request

SPEC = RandomSearchSpec(candidates=3, max_bootstrapped=2, max_labeled=5, threads=THREADS)


class Billing(ScriptedModel):
    """Bills each answer before it is handed over, a moment later."""

    def __init__(self, invoice: Path, latency_s: float) -> None:
        super().__init__()
        self._invoice = invoice
        self._latency_s = latency_s

    def __call__(self, request: Request, context: CallContext) -> Completion:
        answer = super().__call__(request, context)
        with self._invoice.open("a") as stream:
            stream.write("1\n")
        time.sleep(self._latency_s)
        return answer


def run_billed(database: Path, invoice: Path, latency_s: float = 0.0) -> OptimizationResult:
    opened = open_database(f"sqlite:///{database}")
    try:
        return run(SPEC, Billing(invoice, latency_s), StoredJournal(opened, lambda: datetime.now(UTC)))
    finally:
        opened.dispose()


if __name__ == "__main__":
    run_billed(Path(sys.argv[1]), Path(sys.argv[2]), latency_s=0.003)
