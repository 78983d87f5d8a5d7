"""Rows that come late: found without a search, copied, put into the marts; and marts that are wrong are told."""

from __future__ import annotations

import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from metrics.outbox import changed, record, write_late
from upath import UPath

from resources.database.repositories import ledger_days
from resources.database.session import open_database
from resources.storage import call_log
from resources.storage.call_log import collect_day

DAY = date(2026, 11, 21)


def test_every_day_of_a_call_is_marked(ledger: Any) -> None:
    midnight = datetime(2026, 11, 21, tzinfo=UTC)
    over = record("a1", "c1", 5, midnight - timedelta(seconds=1), midnight + timedelta(seconds=1))
    write_late(ledger.url, over)
    assert changed(ledger) == [date(2026, 11, 20), date(2026, 11, 21)]


def test_a_copied_day_is_unmarked_until_something_is_added(ledger: Any, tmp_path: Path) -> None:
    root, now = UPath(tmp_path / "storage"), datetime(2026, 11, 22, tzinfo=UTC)
    ledger.call((5,))
    ledger.save()
    assert changed(ledger) == [DAY]
    collect_day(ledger.database, root, DAY, now)
    assert changed(ledger) == []
    ledger.call((7,))
    ledger.save()
    assert changed(ledger) == [DAY]


@pytest.mark.parametrize("copied_before", [False, True])
def test_of_two_collections_at_once_the_later_leaves_a_mark(
    ledger: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copied_before: bool
) -> None:
    root, now = UPath(tmp_path / "storage"), datetime(2026, 11, 22, tzinfo=UTC)
    ledger.call((5,))
    ledger.save()
    if copied_before:
        collect_day(ledger.database, root, DAY, now)
    real = call_log.write_day

    def slow(*arguments: Any, **options: Any) -> Any:
        written = real(*arguments, **options)
        monkeypatch.setattr(call_log, "write_day", real)
        ledger.call((7,))
        ledger.save()
        collect_day(ledger.database, root, DAY, now + timedelta(minutes=1))
        return real(*arguments, **options) if copied_before else written

    monkeypatch.setattr(call_log, "write_day", slow)
    collect_day(ledger.database, root, DAY, now)
    assert changed(ledger) == [DAY]
    assert collect_day(ledger.database, root, DAY, now).attempts.rows == 2
    assert changed(ledger) == []


def test_what_is_written_while_a_day_is_copied_keeps_its_mark(upgraded_postgres_url: str) -> None:
    """A writer that has not committed yet is waited for, and its mark stays."""
    database = open_database(upgraded_postgres_url)
    try:
        with database.session() as session:
            ledger_days.mark(session, "writer", [DAY])
        with database.session(read_only=True) as session:
            seen = ledger_days.marks_of(session, DAY)

        def unmark() -> None:
            with database.session() as session:
                ledger_days.unmark(session, DAY, seen)

        with database.session() as session:
            ledger_days.mark(session, "writer", [DAY])
            session.flush()
            copier = threading.Thread(target=unmark)
            copier.start()
            copier.join(0.3)
            assert copier.is_alive()  # it waits for the writer's transaction
        copier.join(10)
        assert not copier.is_alive()
        with database.session(read_only=True) as session:
            assert ledger_days.changed_days(session) == [DAY]
    finally:
        database.dispose()
