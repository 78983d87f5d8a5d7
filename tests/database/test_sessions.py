"""Opening databases and working in transactions."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest
from servers.postgres import PostgresServer
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from domain.errors import ConfigurationError, DatabaseUnavailableError
from resources.database import engine, schema
from resources.database.failures import explain
from resources.database.repositories import budget_scopes
from resources.database.session import Database, open_database
from resources.database.urls import parse_database_url

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SECRET = "hunter2-canary"


def test_a_block_that_ends_commits_and_one_that_raises_rolls_back(database: Database):
    with database.session() as session:
        budget_scopes.set_cap(session, "kept", 1, now=NOW)

    def fail() -> None:
        with database.session() as session:
            budget_scopes.set_cap(session, "lost", 1, now=NOW)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    with database.session() as session:
        assert budget_scopes.caps(session) == {"kept": 1}


def test_sqlite_connections_are_told_everything(tmp_path: Path):
    database = open_database(f"sqlite:///{tmp_path / 'new' / 'folder' / 'a.db'}")
    with database.session() as session:
        told = {
            name: session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "busy_timeout", "foreign_keys", "synchronous")
        }
    database.dispose()
    assert told == {"journal_mode": "wal", "busy_timeout": 30_000, "foreign_keys": 1, "synchronous": 1}


def test_postgresql_connections_are_told_everything(postgres_url: str):
    database = open_database(postgres_url)
    with database.session() as session:
        names = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "TimeZone")
        told = [session.scalar(text(f"SHOW {name}")) for name in (*names, "application_name")]
    database.dispose()
    assert told == ["2min", "30s", "10min", "UTC", "promptory"]


def test_options_in_the_url_win(postgres_url: str):
    database = open_database(f"{postgres_url}&application_name=mine&options=-c%20lock_timeout%3D7s")
    with database.session() as session:
        told = [session.scalar(text(f"SHOW {name}")) for name in ("application_name", "lock_timeout")]
    database.dispose()
    assert told == ["mine", "7s"]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_postgresql_is_reached_through_psycopg_3(postgres_url: str, scheme: str):
    database = open_database(postgres_url.replace("postgresql+psycopg", scheme))
    assert database.engine.driver == "psycopg"
    database.dispose()


def test_a_read_only_session_refuses_to_write_and_the_next_one_does_not(database: Database):
    with pytest.raises(DBAPIError, match=r"read-?only"), database.session(read_only=True) as session:
        budget_scopes.set_cap(session, "day", 1, now=NOW)
    with database.session() as session:
        budget_scopes.set_cap(session, "day", 1, now=NOW)
    with database.session(read_only=True) as session:
        assert budget_scopes.caps(session) == {"day": 1}


def test_readers_do_not_wait_for_a_writer(database: Database):
    with database.session() as writer:
        budget_scopes.set_cap(writer, "day", 1, now=NOW)
        with database.session(read_only=True) as reader:
            assert budget_scopes.caps(reader) == {}


def test_threads_that_read_then_write_lose_no_update(database: Database):
    """With SQLite's ordinary BEGIN these would fail at once, or read what another is about to change."""
    with database.session() as session:
        budget_scopes.set_cap(session, "day", 0, now=NOW)

    def add_one(_: int) -> None:
        with database.session() as session:
            if not database.is_sqlite:
                session.execute(text("SELECT 1 FROM budget_scopes WHERE scope = 'day' FOR UPDATE"))
            cap = budget_scopes.caps(session)["day"]
            budget_scopes.set_cap(session, "day", cap + 1, now=NOW)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add_one, range(40)))
    with database.session(read_only=True) as session:
        assert budget_scopes.caps(session) == {"day": 40}


def test_an_in_memory_database_is_one_database_for_all_threads():
    database = open_database("sqlite://")
    schema.upgrade(database)

    def add(number: int) -> None:
        with database.session() as session:
            budget_scopes.set_cap(session, f"run:{number}", number, now=NOW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(20)))
    with database.session(read_only=True) as session:
        assert len(budget_scopes.caps(session)) == 20
    database.dispose()


def test_a_relative_path_means_the_same_file_after_a_change_of_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    database = open_database("sqlite:///here.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    database.dispose()
    schema.upgrade(database)
    database.dispose()
    assert (tmp_path / "here.db").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_many_threads_open_a_new_file_at_once(tmp_path: Path):
    start = threading.Barrier(8)

    def open_it(_: int) -> str:
        start.wait()
        database = open_database(f"sqlite:///{tmp_path / 'new.db'}")
        with database.session(read_only=True) as session:
            mode = session.scalar(text("PRAGMA journal_mode"))
        database.dispose()
        return str(mode)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(open_it, range(8))) == {"wal"}


def test_a_held_write_lock_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engine, "SQLITE_BUSY_TIMEOUT_S", 0.01)
    database = open_database(f"sqlite:///{tmp_path / 'a.db'}")
    schema.upgrade(database)
    with database.session() as holder:
        budget_scopes.set_cap(holder, "day", 1, now=NOW)
        with pytest.raises(DatabaseUnavailableError, match="is busy: database is locked"), database.session() as other:
            budget_scopes.set_cap(other, "day", 2, now=NOW)
    with database.session() as session:
        assert budget_scopes.caps(session) == {"day": 1}
    database.dispose()


def test_an_exhausted_pool_is_a_clear_error(database_url: str, monkeypatch: pytest.MonkeyPatch):
    for name, value in (("POOL_SIZE", 1), ("POOL_OVERFLOW", 0), ("POOL_TIMEOUT_S", 0.01)):
        monkeypatch.setattr(engine, name, value)
    database = open_database(database_url)
    with database.session(read_only=True) as session:
        budget_scopes.caps(session)
        with pytest.raises(DatabaseUnavailableError, match="in use"), database.session(read_only=True) as other:
            budget_scopes.caps(other)
    database.dispose()


def test_a_lost_connection_is_a_clear_error_and_the_next_session_connects_anew(postgres_server: PostgresServer):
    database = open_database(postgres_server.url("postgres"))

    def lose_it() -> None:
        with database.session() as session:
            own = session.scalar(text("SELECT pg_backend_pid()"))
            postgres_server.execute(f"SELECT pg_terminate_backend({own})")
            session.execute(text("SELECT 1"))

    with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
        lose_it()
    with database.session() as session:
        assert session.scalar(text("SELECT 1")) == 1
    database.dispose()


def test_connections_cut_while_idle_go_unnoticed(postgres_server: PostgresServer):
    database = open_database(postgres_server.url("postgres"))
    with database.session() as session:
        own = session.scalar(text("SELECT pg_backend_pid()"))
    postgres_server.execute(f"SELECT pg_terminate_backend({own})")
    with database.session() as session:
        assert session.scalar(text("SELECT 1")) == 1
    database.dispose()


def test_a_busy_lock_on_postgresql_is_a_clear_error(upgraded_postgres_url: str):
    patient = open_database(upgraded_postgres_url)
    hasty = open_database(f"{upgraded_postgres_url}&options=-c%20lock_timeout%3D10ms")
    with patient.session() as holder:
        budget_scopes.set_cap(holder, "day", 1, now=NOW)
        with pytest.raises(DatabaseUnavailableError, match="is busy"), hasty.session() as other:
            budget_scopes.set_cap(other, "day", 2, now=NOW)
    patient.dispose()
    hasty.dispose()


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://promptory:{SECRET}@127.0.0.1:1/promptory",
        f"postgresql://promptory@127.0.0.1:1/promptory?password={SECRET}",
        f"postgresql://promptory@127.0.0.1:1/promptory?sslpassword={SECRET}",
    ],
)
def test_an_unreachable_server_is_a_clear_error_without_secrets(url: str):
    with pytest.raises(DatabaseUnavailableError, match="cannot be reached") as caught:
        open_database(url)
    assert "host, port" in (caught.value.mend or "")
    assert "127.0.0.1" in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("where", ["user:{secret}@host", "user@host?password={secret}", "u@host?sslpassword={secret}"])
def test_secrets_are_never_shown(where: str):
    url = parse_database_url(f"postgresql://{where.format(secret=SECRET).replace('host', 'host/name')}")
    database = Database(url, engine.make_engine(url))
    shown = " ".join([repr(url), str(url), url.shown, repr(database), repr(database.engine), database.shown_url])
    assert SECRET not in shown
    assert SECRET in str([url.url.password, url.secrets])
    assert url.scrub(f"no entry with {SECRET}") == "no entry with ***"


def test_row_contents_are_not_in_errors(database: Database):
    with pytest.raises(DBAPIError) as caught, database.session() as session:
        session.execute(text("SELECT 1 FROM budget_scopes WHERE nonsense(:value)"), {"value": SECRET})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "promptory.db",
        f"postgresql://user:{SECRET}@host:port/name",
        f"postgresql+psycopg2://user:{SECRET}@host/name",
        f"mysql://user:{SECRET}@host/name",
        "sqlite://promptory.db",
        "sqlite:///file:a.db?uri=true",
    ],
)
def test_an_unusable_url_is_a_clear_error(url: str):
    with pytest.raises(ConfigurationError) as caught:
        open_database(url)
    assert caught.value.mend
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_is_no_database_is_a_clear_error(tmp_path: Path):
    (tmp_path / "notes.txt").write_text("dear diary, " * 100)
    with pytest.raises(DatabaseUnavailableError, match="file is not a database"):
        open_database(f"sqlite:///{tmp_path / 'notes.txt'}")


def test_a_folder_in_the_place_of_the_file_is_a_clear_error(tmp_path: Path):
    with pytest.raises(DatabaseUnavailableError, match="unable to open database file"):
        open_database(f"sqlite:///{tmp_path}")


def test_a_file_in_the_place_of_the_folder_is_a_clear_error(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="folder of the database cannot be made"):
        open_database(f"sqlite:///{tmp_path / 'file' / 'a.db'}")


def test_a_file_that_may_not_be_written_is_a_clear_error():
    """Permissions do not bind the root user the tests may run as, so the driver's error is made by hand."""
    url = parse_database_url("sqlite:///a.db")
    original = sqlite3.OperationalError("attempt to write a readonly database")
    met_at_begin = explain(OperationalError("BEGIN IMMEDIATE", None, original), url)
    assert isinstance(met_at_begin, DatabaseUnavailableError)
    assert "may read and write" in (met_at_begin.mend or "")
    assert explain(OperationalError("INSERT INTO tasks", None, original), url) is None


def test_dispose_may_be_called_twice(database: Database):
    database.dispose()
    database.dispose()
    with database.session() as session:
        assert budget_scopes.caps(session) == {}
