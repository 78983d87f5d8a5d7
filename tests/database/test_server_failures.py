"""What a PostgreSQL server says when it can do nothing for us, told as one clear error."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from servers.postgres import PostgresServer
from sqlalchemy import text

from domain.errors import DatabaseUnavailableError
from resources.database.repositories import budget_scopes
from resources.database.session import open_database

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_a_standby_is_a_clear_error_where_it_is_written(postgres_server: PostgresServer, upgraded_postgres_url: str):
    database = open_database(upgraded_postgres_url)
    postgres_server.execute(f"ALTER DATABASE {database.engine.url.database} SET default_transaction_read_only = on")
    database.dispose()
    with pytest.raises(DatabaseUnavailableError, match="can only be read") as caught, database.session() as session:
        budget_scopes.set_cap(session, "day", 1, now=NOW)
    assert "failover" in (caught.value.mend or "")
    with database.session(read_only=True) as session:
        assert budget_scopes.caps(session) == {}
    database.dispose()


@pytest.mark.parametrize("state", ["40001", "25P03", "58030", "XX000"])
def test_what_is_no_fault_of_the_statement_is_a_clear_error(upgraded_postgres_url: str, state: str):
    database = open_database(upgraded_postgres_url)
    raising = text(f"DO $$ BEGIN RAISE EXCEPTION 'away' USING ERRCODE = '{state}'; END $$")
    with pytest.raises(DatabaseUnavailableError, match="away"), database.session() as session:
        session.execute(raising)
    database.dispose()
