"""Rows that a query gives, from real databases, and what is said where it gives none."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine, text

from domain.errors import ConfigurationError, InputError
from resources.batch_inference.sql_source import SqlSource

LIKE = "SELECT id, message FROM tickets WHERE message LIKE '%refund%' AND id % 2 = 1 ORDER BY id"


@pytest.fixture(params=["sqlite", "postgresql"])
def warehouse(request: pytest.FixtureRequest, tmp_path) -> str:
    """The URL of a database with tickets."""
    url = f"sqlite:///{tmp_path / 'warehouse.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE tickets (id INTEGER, message TEXT)"))
        rows = [{"id": number, "message": f"a refund of {number} %s"} for number in range(1, 2501)]
        connection.execute(text("INSERT INTO tickets VALUES (:id, :message)"), rows)
    engine.dispose()
    return url


def test_a_query_is_sent_as_it_is_written(warehouse: str):
    rows = list(SqlSource(LIKE, variable="W", environ={"W": warehouse}).rows())
    assert [row.values["id"] for row in rows] == list(range(1, 2501, 2))
    assert rows[-1].number == 1250
    assert rows[0].values["message"] == "a refund of 1 %s"
    with pytest.raises(InputError, match="the query failed at row 1"):
        list(SqlSource("SELECT nothing FROM tickets", variable="W", environ={"W": warehouse}).rows())


@pytest.mark.parametrize(
    ("url", "named", "mend"),
    [
        ("mysql+nodriverofthatname://me:secret@host/db", "mysql.nodriverofthatname", "driver"),
        ("sqlite+aiosqlite:///file.db", "aiosqlite", "install aiosqlite"),
        ("nosuch://me:secret@host/db", "nosuch", "postgresql+psycopg://"),
    ],
)
def test_a_driver_that_is_not_there_is_named(url: str, named: str, mend: str):
    with pytest.raises(ConfigurationError, match=named) as caught:
        list(SqlSource("SELECT 1", variable="W", environ={"W": url}).rows())
    assert caught.value.field == "variable"
    assert mend in (caught.value.mend or "")
    assert "secret" not in str(caught.value)
