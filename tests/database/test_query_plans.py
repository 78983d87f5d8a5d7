"""The queries on the tables that grow without end reach their rows through an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from resources.database.repositories import (
    answers,
    batch_calls,
    batch_chunks,
    batches,
    call_counts,
    call_references,
    effort,
    finished_batches,
    input_checks,
    interactions,
    journal,
    judgements,
    ledger,
    outcomes,
    provider_jobs,
    reserves,
    spending,
)
from resources.database.session import Database
from resources.storage.call_log_summary import summarize

ROWS = 20_000
DAYS = 200
FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)
DAY = date(2026, 3, 1)
SINCE = datetime(2026, 3, 1, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=1)
LAST_DAY = FIRST_DAY + timedelta(days=DAYS - 1)

HEX_ID = "abcdef00" * 4  # call number 18
BIG_TABLES = ("calls", "attempts", "answers", "judgements", "optimization_journal", "interactions", "outcomes")
BIG_TABLES += ("batches", "batch_chunks", "batch_answers", "provider_jobs")
DONE_BY = ("task-7", "prompt-7", SINCE, UNTIL)
REQUESTS = input_checks.Requests("task-7", "prompt-7", "answer", SINCE, SINCE + timedelta(weeks=10))
CHUNK = batch_chunks.ChunkRecord("batch-7", 17, 101, 100, "open", 0)

QUERIES: dict[str, Callable[[Session], object]] = {
    "a call": lambda session: ledger.find_call(session, "call-17"),
    "a call by the beginning of its id": lambda session: call_references.resolve_call_id(session, HEX_ID[:8]),
    "the attempts of a call": lambda session: ledger.attempts_of_call(session, "call-17"),
    "the calls of a row": lambda session: ledger.calls_of_row(session, "task-7", "row-17"),
    "the calls of a run": lambda session: ledger.calls_of_run(session, "run-17"),
    "the calls of an experiment": lambda session: ledger.calls_of_experiment(session, "experiment-17"),
    "unrecorded calls": lambda session: ledger.unrecorded_calls(session, "experiment-17", before=UNTIL),
    "an interaction": lambda session: interactions.find(session, "experiment-7", "interaction-17"),
    "a unit's variant": lambda session: interactions.first_variant(session, "experiment-7", "unit-17"),
    "the units of calls": lambda session: interactions.units_of_calls(session, "experiment-7", ["call-17", "call-27"]),
    "closed interactions": lambda session: interactions.count(session, "experiment-7", before=SINCE),
    "the batches of some days": lambda session: finished_batches.finished_by(session, *DONE_BY, 1_000),
    "the rows of some days' batches": lambda session: finished_batches.rows_finished_by(session, *DONE_BY),
    "an outcome": lambda session: outcomes.values_of(session, "experiment-7", ["unit:unit-17"]),
    "ambiguous attempts": lambda session: ledger.ambiguous_attempts(session, since=SINCE, until=UNTIL),
    "all ambiguous attempts": ledger.ambiguous_attempts,
    "spending by model": lambda session: spending.spend(session, "model", since=SINCE, until=UNTIL),
    "spending by day": lambda session: spending.spend(session, "day", since=SINCE, until=UNTIL),
    "spending by task": lambda session: spending.spend(session, "task", since=SINCE, until=UNTIL),
    "spending of a task": lambda session: spending.spend(session, "model", since=SINCE, until=UNTIL, task="task-3"),
    "what a day comes to": lambda session: spending.day_totals(session, SINCE, UNTIL),
    "production's inputs": lambda session: input_checks.count_requests(session, REQUESTS),
    "a sample of production's inputs": lambda session: input_checks.spread_tokens(session, REQUESTS, 100, 700),
    "totals": lambda session: spending.totals(session, since=SINCE, until=UNTIL),
    "answers": lambda session: answers.get_many(session, "prompt-3", [f"input-{n}" for n in range(300)]),
    "judgements": lambda session: judgements.get_many(session, "judge-3", [f"subject-{n}" for n in range(300)], 2),
    "the journal": lambda session: journal.load_all(session, "run-17"),
    "how many answers a prompt gave": lambda session: answers.count(session, "prompt-3"),
    "the effort of a run": lambda session: effort.run_effort(session, "run-17"),
    "a task's calls of a day": lambda session: call_counts.count_calls(session, "task-3", since=LAST_DAY),
    "reserves of a day": lambda session: reserves.reserve_lines(session, since=SINCE, until=UNTIL),
    "budget windows": lambda session: spending.scope_spends(session, LAST_DAY, [LAST_DAY]),
    "a day in figures": lambda session: summarize(session, SINCE, UNTIL),
    "the calls of a batch's rows": lambda session: batch_calls.calls_of_rows(
        session, "batch-7", [f"row-{n}" for n in range(7, 997, 10)]
    ),
    "the answers of a chunk": lambda session: batch_chunks.answers_of(session, CHUNK),
    "a batch's chunks": lambda session: batch_chunks.list_chunks(session, "batch-7"),
    "how far a batch is": lambda session: batch_chunks.counts(session, "batch-7"),
    "a batch by the beginning of its id": lambda session: batches.get(session, HEX_ID[:8]),
    "what a prompt's calls cost": lambda session: call_counts.mean_cost_nano_usd(
        session, "task-7", "prompt-7", since=LAST_DAY, most=500
    ),
    "a task's open batches": lambda session: batches.open_batches(session, "task-7"),
    "a task's newest batches": lambda session: batches.list_batches(session, task="task-7", limit=20),
    "a batch's provider jobs": lambda session: provider_jobs.of_batch(session, "batch-7"),
    "a chunk's provider jobs": lambda session: provider_jobs.of_chunk(session, "batch-7", 1007, 0),
    "jobs that providers work on": provider_jobs.submitted,
    "what provider jobs hold": provider_jobs.holding,
    "batches with a job to lead on": lambda session: provider_jobs.ready_batches(session, SINCE, "task-7"),
    "jobs of ended batches": lambda session: provider_jobs.of_ended_batches(session, "task-7"),
    "a journal entry": lambda session: journal.find(session, "run-17", "key-17"),
}

OWN_INDEX = {
    "all ambiguous attempts": "ix_attempts_ambiguous",
    "production's inputs": "ix_calls_of_production",
    "a sample of production's inputs": "ix_calls_of_production",
}
"""Where a whole index is read, or another would read weeks of what others asked."""


@pytest.fixture
def grown(database: Database) -> Database:
    """A database with `ROWS` rows in each big table, spread over `DAYS` days."""
    numbers = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ROWS})"
    seconds = f"i * {DAYS * 86400 // ROWS}"
    if database.is_sqlite:
        time = f"strftime('%Y-%m-%d %H:%M:%S.000000', {int(FIRST_DAY.timestamp())} + {seconds}, 'unixepoch')"
        no, json, blob = "0", "'[1]'", "x''"
    else:
        time = f"to_timestamp({int(FIRST_DAY.timestamp())} + {seconds})"
        no, json, blob = "false", "'[1]'::json", "''::bytea"
    selections = {
        "calls": f"CASE WHEN i = 18 THEN '{HEX_ID}' ELSE 'call-' || i END, NULL, 'serve', "
        "'task-' || (i % 10), 'prompt-' || (i % 10), NULL, NULL, "
        "'row-' || (i % 1000), 'run-' || (i % 1000), "
        "CASE WHEN i % 4000 BETWEEN 2000 AND 2999 THEN 'batch-' || (i % 10) END, "
        "CASE WHEN i % 2000 >= 1000 THEN 'experiment-' || (i % 1000) END, NULL, 'm', 'm', 'ok', NULL, "
        f"{no}, 1, 1, 1, 1, 0.1, {time}, {time}",
        "attempts": "'attempt-' || i, 'call-' || i, 1, 'm', "
        "CASE WHEN i % 100 = 0 THEN 'ambiguous' ELSE 'settled' END, "
        f"'ok', 1, 1, 1, 1, 0, NULL, {json}, NULL, {time}, {time}, 0.1, 1, 1",
        "answers": f"'prompt-' || (i % 10), 'input-' || i, 0, 'text', 'call-' || i, 'm', 1, 0.1, 1, 1, {time}, "
        "NULL, NULL",
        "judgements": "'judge-' || (i % 10), 'subject-' || i, 0, 'task-1', 'prompt-' || (i % 10), 'input-' || i, "
        f"'text', 'call-' || i, 'm', 1, 0.1, 1, 1, {time}",
        "interactions": "'experiment-' || (i % 10), 'interaction-' || i, 'unit-' || i, 'control', 'prompt-1', "
        f"'call-' || i, 1, 0.1, NULL, {time}, 'live'",
        "outcomes": f"'experiment-' || (i % 10), 'unit:unit-' || i, 'unit-' || i, NULL, 1, {time}, {time}, 'live'",
        "batches": f"CASE WHEN i = 18 THEN '{HEX_ID}' ELSE 'batch-' || i END, 'task-' || (i % 10), "
        "CASE WHEN i % 97 = 0 THEN 'paused' WHEN i % 89 = 0 THEN 'cancelled' ELSE 'done' END, "
        f"NULL, NULL, NULL, NULL, {json}, {json}, 'rows', 0, NULL, "
        f"1, 0, 1, 'prompt-' || (i % 10), NULL, 0, NULL, NULL, 0, {json}, NULL, {time}, NULL, {time}",
        "batch_chunks": "'batch-' || (i % 10), i, i, 1, 'done', 1, 0, 'part', 1, 0, 0, 0, 0, 1, 1, 1",
        "batch_answers": f"'batch-' || (i % 10), i, {blob}",
        "provider_jobs": "'job-' || i, 'batch-' || (i % 1000), 'task-' || (i % 10), i, 0, 'm', "
        "CASE WHEN i % 97 = 0 THEN 'submitted' WHEN i % 89 = 0 THEN 'ended' ELSE 'closed' END, "
        f"NULL, NULL, NULL, NULL, NULL, 1, {blob}, {json}, "
        f"NULL, 1, 2, 1, 0, {no}, {time}, {time}, NULL",
        "optimization_journal": f"'run-' || (i % 1000), 'key-' || i, {json}, {time}",
    }
    with database.session() as session:
        for table, selection in selections.items():
            session.execute(text(f"INSERT INTO {table} {numbers} SELECT {selection} FROM n"))
    with database.session() as session:
        session.execute(text("ANALYZE"))
        if not database.is_sqlite:
            # The tables fit into a few pages; without this a look at all of them is rightly called cheap.
            name = session.scalar(text("SELECT current_database()"))
            session.execute(text(f"ALTER DATABASE {name} SET random_page_cost = 1.1"))
    database.dispose()
    return database


class Recorder:
    """Explains every SELECT an engine runs."""

    def __init__(self, database: Database) -> None:
        self._explain = "EXPLAIN QUERY PLAN " if database.is_sqlite else "EXPLAIN "
        self.plans: list[str] = []

    def __call__(self, connection, cursor, statement, parameters, context, executemany) -> None:
        if statement.startswith("SELECT"):
            rows = connection.connection.cursor().execute(self._explain + statement, parameters).fetchall()
            self.plans.append("\n".join(str(row[-1]) for row in rows))


@pytest.fixture
def recorder(grown: Database) -> Iterator[Recorder]:
    made = Recorder(grown)
    event.listen(grown.engine, "after_cursor_execute", made)
    yield made
    event.remove(grown.engine, "after_cursor_execute", made)


def scans(plan: str) -> list[str]:
    """The lines of a plan that read a whole big table, or a whole index of one."""
    found = [f"{word} {table}" for word in ("SCAN", "Seq Scan on") for table in BIG_TABLES]
    return [line for line in plan.splitlines() if any(item in line for item in found)]


def test_queries_use_an_index(grown: Database, recorder: Recorder):
    for name, query in QUERIES.items():
        recorder.plans.clear()
        with grown.session(read_only=True) as session:
            assert query(session) not in (None, [], {}), name
        assert recorder.plans, name
        for plan in recorder.plans:
            if name in OWN_INDEX:
                assert OWN_INDEX[name] in plan, f"{name}:\n{plan}"
            else:
                assert not scans(plan), f"{name}:\n{plan}"


def test_walking_through_a_day_uses_an_index_and_sorts_nothing(grown: Database, recorder: Recorder):
    for walk in (ledger.calls_of_day, ledger.attempts_of_day):
        recorder.plans.clear()
        found = [item for batch in walk(grown, DAY, batch_rows=30) for item in batch]
        assert len(found) == ROWS // DAYS
        for plan in recorder.plans:
            assert not scans(plan), plan
            assert "Sort" not in plan, plan
            assert "TEMP B-TREE" not in plan, plan


def test_a_query_without_an_index_would_be_noticed(grown: Database, recorder: Recorder):
    with grown.session(read_only=True) as session:
        session.execute(text("SELECT * FROM calls WHERE requested_model = 'x'"))
    assert scans(recorder.plans[-1])
