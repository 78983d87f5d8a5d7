"""The schema: upgraded once, equal to the tables' definitions, refused where it is another program's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import CheckConstraint, inspect, text

from domain.errors import SchemaVersionError
from resources.database import schema
from resources.database.repositories import budget_scopes
from resources.database.session import Database, open_database
from resources.database.tables import Base

HEAD = schema.head_revision()


def test_upgrade_tells_where_it_came_from(empty_database: Database):
    assert schema.current_revision(empty_database) is None
    assert schema.upgrade(empty_database) == (None, HEAD)
    assert schema.upgrade(empty_database) == (HEAD, HEAD)
    assert schema.current_revision(empty_database) == HEAD
    schema.require_current(empty_database)


def test_only_a_database_without_any_table_is_empty(empty_database: Database):
    assert schema.is_empty(empty_database)
    with empty_database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE of_somebody_else (id INTEGER)"))
    assert not schema.is_empty(empty_database)


def test_upgraded_schema_is_what_the_tables_say(empty_database: Database):
    schema.upgrade(empty_database)
    with empty_database.engine.connect() as connection:
        options = {"version_table": schema.VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_upgraded_check_constraints_are_what_the_tables_say(database: Database):
    """Alembic does not compare these."""
    inspector = inspect(database.engine)
    for name, table in Base.metadata.tables.items():
        wanted = {str(item.name) for item in table.constraints if isinstance(item, CheckConstraint)}
        assert {item["name"] for item in inspector.get_check_constraints(name)} == wanted, name


def test_partial_indexes_keep_their_condition(database: Database):
    """Alembic does not compare these either."""
    catalogue = "sqlite_master" if database.is_sqlite else "pg_indexes"
    columns = "name, sql" if database.is_sqlite else "indexname, indexdef"
    with database.session(read_only=True) as session:
        definitions = {row[0]: row[1] for row in session.execute(text(f"SELECT {columns} FROM {catalogue}"))}
    assert "UNIQUE" in definitions["uq_gate_decisions_task_look"]
    assert "look > 0" in definitions["uq_gate_decisions_task_look"]
    assert "'ambiguous'" in definitions["ix_attempts_ambiguous"]
    assert "IS NOT NULL" in definitions["ix_calls_experiment_id"]
    assert "'judge'" in definitions["ix_calls_of_production"]


def test_every_migration_can_be_undone(empty_database: Database):
    from alembic import command

    schema.upgrade(empty_database)
    with empty_database.engine.begin() as connection:
        command.downgrade(schema._config(connection), "base")
    assert set(inspect(empty_database.engine).get_table_names()) == {schema.VERSION_TABLE}
    assert schema.upgrade(empty_database) == (None, HEAD)


def test_a_failing_upgrade_leaves_nothing_behind(empty_database: Database, monkeypatch: pytest.MonkeyPatch):
    def upgrade_half(config, revision):
        config.attributes["connection"].execute(text("CREATE TABLE tasks (name TEXT)"))
        raise KeyboardInterrupt

    monkeypatch.setattr("alembic.command.upgrade", upgrade_half)
    with pytest.raises(KeyboardInterrupt):
        schema.upgrade(empty_database)
    assert inspect(empty_database.engine).get_table_names() == []


def test_absent_schema_names_the_mend(empty_database: Database):
    with pytest.raises(SchemaVersionError, match="no schema yet") as caught:
        schema.require_current(empty_database)
    assert caught.value.mend == "run `promptory db upgrade`"


def test_older_schema_names_the_mend(database: Database, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(schema, "known_revisions", lambda: ("next", HEAD))
    with pytest.raises(SchemaVersionError, match=f"is on schema {HEAD}, this program needs next") as caught:
        schema.require_current(database)
    assert caught.value.mend == "run `promptory db upgrade`"


def test_newer_schema_asks_for_a_newer_program(database: Database):
    _set_revision(database, "9999")
    for act in (schema.require_current, schema.upgrade):
        with pytest.raises(SchemaVersionError, match="9999, which is newer than this program") as caught:
            act(database)
        assert "Install" in (caught.value.mend or "")
    assert schema.current_revision(database) == "9999"


def test_tables_without_a_revision_are_not_touched(empty_database: Database):
    with empty_database.session() as session:
        session.execute(text("CREATE TABLE tasks (name TEXT)"))
    with pytest.raises(SchemaVersionError, match="no revision, yet it holds the tables tasks"):
        schema.upgrade(empty_database)


def test_the_revision_of_another_program_in_the_same_database_is_left_alone(empty_database: Database):
    with empty_database.session() as session:
        session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
        session.execute(text("INSERT INTO alembic_version VALUES ('dagster')"))
    assert schema.upgrade(empty_database) == (None, HEAD)
    with empty_database.session() as session:
        assert session.scalars(text("SELECT version_num FROM alembic_version")).all() == ["dagster"]


def test_a_query_on_an_absent_schema_names_the_mend(empty_database: Database):
    with pytest.raises(SchemaVersionError) as caught, empty_database.session() as session:
        budget_scopes.caps(session)
    assert caught.value.mend == "run `promptory db upgrade`"


def test_threads_upgrade_at_once(empty_url: str):
    def upgrade(_: int) -> tuple[str | None, str]:
        database = open_database(empty_url)
        try:
            return schema.upgrade(database)
        finally:
            database.dispose()

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(upgrade, range(6)))
    assert sorted(results, key=str) == [(HEAD, HEAD)] * 5 + [(None, HEAD)]


def _set_revision(database: Database, revision: str) -> None:
    with database.session() as session:
        session.execute(text(f"UPDATE {schema.VERSION_TABLE} SET version_num = '{revision}'"))


def test_older_moves_of_aliases_get_the_kind_they_were(empty_database: Database):
    from alembic import command

    schema.upgrade(empty_database)
    with empty_database.engine.begin() as connection:
        command.downgrade(schema._config(connection), "0001")
    version = "'t', 'v', 1, 'n', '{}', NULL, 'author', '2026-11-22 12:00:00+00:00'"
    moves = [("NULL", "NULL", "first"), ("'v'", "'d'", "gate"), ("'v'", "NULL", "hand")]
    with empty_database.session() as session:
        session.execute(text(f"INSERT INTO prompt_versions VALUES ({version})"))
        for number, (before, decision, _) in enumerate(moves):
            values = f"{number}, 't', 'production', {before}, 'v', 'me', 'because', {decision}"
            session.execute(text(f"INSERT INTO alias_moves VALUES ({values}, '2026-11-22 12:00:00+00:00')"))
    schema.upgrade(empty_database)
    with empty_database.session(read_only=True) as session:
        found = session.scalars(text("SELECT kind FROM alias_moves ORDER BY id")).all()
    assert found == [kind for _, _, kind in moves]
