"""Aliases move by compare-and-swap and remember every move."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from domain.errors import ConflictError, InputError, NotFoundError
from domain.prompt import PromptStep, PromptVersion
from resources.database.repositories import aliases, prompt_versions
from resources.database.session import Database
from resources.database.tables import AliasRow

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def ids(database: Database) -> list[str]:
    """Three prompt versions of the task `triage`."""
    with database.session() as session:
        return [
            prompt_versions.register(
                session,
                "triage",
                PromptVersion(
                    steps=(PromptStep(system_prompt=text, output_prompt="{{ x }}"),), model="offline/nearest"
                ),
                created_by="author",
                now=NOW,
            ).id
            for text in "abc"
        ]


def move(database: Database, to_id: str, expected: int | None, **changes: object) -> aliases.AliasRecord:
    values = {"alias": "production", "moved_by": "me", "reason": "because", "now": NOW, "decision_id": None}
    values.update(changes)
    with database.session() as session:
        return aliases.move(session, "triage", to_id=to_id, expected_revision=expected, **values)  # type: ignore[arg-type]


def test_an_alias_is_made_and_moved(database: Database, ids: list[str]):
    later = NOW + timedelta(hours=1)
    assert move(database, ids[0], None).revision == 1
    moved = move(database, ids[1], 1, now=later, decision_id="d" * 64)
    with database.session(read_only=True) as session:
        assert aliases.get(session, "triage", "production") == moved
        assert (moved.prompt_version_id, moved.revision, moved.updated_at) == (ids[1], 2, later)
        newest, oldest = aliases.history(session, "triage", "production")
    assert (newest.from_id, newest.to_id, newest.decision_id, newest.moved_at) == (ids[0], ids[1], "d" * 64, later)
    assert (oldest.from_id, oldest.to_id, oldest.moved_by, oldest.reason) == (None, ids[0], "me", "because")


@pytest.mark.parametrize("expected", [None, 0, 1, 3])
def test_a_move_from_another_revision_is_refused(database: Database, ids: list[str], expected: int | None):
    move(database, ids[0], None)
    move(database, ids[1], 1)
    with pytest.raises(ConflictError, match=f"is at revision 2, {ids[1][:12]}"):
        move(database, ids[2], expected)
    with database.session(read_only=True) as session:
        assert aliases.get(session, "triage", "production").prompt_version_id == ids[1]
        assert len(aliases.history(session, "triage")) == 2


def test_a_move_of_an_alias_that_is_gone_is_refused(database: Database, ids: list[str]):
    with pytest.raises(ConflictError, match="is gone; expected revision 1"):
        move(database, ids[0], 1)


def test_repeating_a_decision_changes_nothing(database: Database, ids: list[str]):
    move(database, ids[0], None)
    moved = move(database, ids[1], 1, decision_id="d" * 64)
    assert move(database, ids[1], 1, decision_id="d" * 64, now=NOW + timedelta(days=1)) == moved
    with database.session(read_only=True) as session:
        assert len(aliases.history(session, "triage")) == 2


def test_an_old_decision_cannot_move_an_alias_back(database: Database, ids: list[str]):
    move(database, ids[0], None)
    move(database, ids[1], 1, decision_id="d" * 64)
    move(database, ids[2], 2, reason="rolled forward by hand")
    with pytest.raises(ConflictError):
        move(database, ids[1], 1, decision_id="d" * 64)


def test_an_alias_points_at_a_version_of_its_task_only(database: Database, ids: list[str]):
    with pytest.raises(NotFoundError, match="no prompt version ffffffffffff"):
        move(database, "f" * 64, None)
    row = {"task": "refunds", "alias": "production", "prompt_version_id": ids[0], "revision": 1, "updated_at": NOW}
    with pytest.raises(IntegrityError), database.session() as session:
        session.execute(insert(AliasRow).values(row))


@pytest.mark.parametrize("alias", ["", "3", "v3", "Production", "a b", "a" * 51, "-x"])
def test_an_alias_that_reads_like_something_else_is_refused(database: Database, ids: list[str], alias: str):
    with pytest.raises(InputError, match="cannot be an alias"):
        move(database, ids[0], None, alias=alias)


def test_a_move_needs_a_reason(database: Database, ids: list[str]):
    with pytest.raises(InputError, match="needs a reason"):
        move(database, ids[0], None, reason=" ")


def test_a_missing_alias_lists_those_there_are(database: Database, ids: list[str]):
    with database.session(read_only=True) as session:
        assert aliases.find(session, "triage", "production") is None
        with pytest.raises(NotFoundError, match="no aliases yet"):
            aliases.get(session, "triage", "production")
    move(database, ids[0], None, alias="candidate")
    with database.session(read_only=True) as session:
        with pytest.raises(NotFoundError, match="aliases are: candidate"):
            aliases.get(session, "triage", "production")
        assert [record.alias for record in aliases.list_aliases(session)] == ["candidate"]
        assert aliases.list_aliases(session, "refunds") == []


@pytest.mark.parametrize("existing", [False, True])
def test_of_many_movers_at_once_one_wins(database: Database, ids: list[str], existing: bool):
    expected = move(database, ids[0], None).revision if existing else None

    def attempt(number: int) -> bool:
        try:
            move(database, ids[1 + number % 2], expected, moved_by=f"mover {number}")
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(attempt, range(8)))
    assert won.count(True) == 1
    with database.session(read_only=True) as session:
        newest = aliases.history(session, "triage", "production")[0]
        current = aliases.get(session, "triage", "production")
    assert newest.moved_by == f"mover {won.index(True)}"
    assert current.prompt_version_id == newest.to_id
    assert current.revision == (2 if existing else 1)


def release(database: Database, **changes: str) -> aliases.AliasRecord:
    values = {"released_by": "ada", "reason": "mended", **changes}
    with database.session() as session:
        return aliases.release(session, "triage", "production", now=NOW, **values)


def held(database: Database) -> aliases.AliasMoveRecord | None:
    with database.session(read_only=True) as session:
        return aliases.hold(session, "triage", "production")


def test_a_move_by_hand_holds_the_alias_until_it_is_released(database: Database, ids: list[str]):
    assert held(database) is None
    first = move(database, ids[0], None)
    move(database, ids[1], 1, decision_id="d" * 64)
    assert held(database) is None
    for revision, kind in ((2, "override"), (3, "rollback"), (4, None)):
        move(database, ids[revision % 2], revision, kind=kind, moved_by="ada")
        holding = held(database)
        assert holding is not None
        assert (holding.kind, holding.moved_by) == (kind or "hand", "ada")
    there = release(database)
    assert held(database) is None
    assert (there.revision, there.revision > first.revision) == (5, True)
    with database.session(read_only=True) as session:
        newest = aliases.history(session, "triage", "production")[0]
        assert (newest.kind, newest.from_id, newest.to_id) == ("release", ids[0], ids[0])
        assert aliases.get(session, "triage", "production") == there


def test_only_what_is_held_can_be_released(database: Database, ids: list[str]):
    with pytest.raises(NotFoundError):
        release(database)
    move(database, ids[0], None)
    with pytest.raises(InputError, match="Nobody holds"):
        release(database)
    move(database, ids[1], 1)
    with pytest.raises(InputError, match="needs a reason"):
        release(database, reason=" ")
    assert held(database) is not None


def test_an_override_is_not_the_decision_it_overrules(database: Database, ids: list[str]):
    move(database, ids[0], None)
    move(database, ids[1], 1, decision_id="d" * 64, kind="override")
    with pytest.raises(ConflictError):
        move(database, ids[1], 1, decision_id="d" * 64)


def test_a_kind_nobody_knows_is_refused(database: Database, ids: list[str]):
    with pytest.raises(IntegrityError):
        move(database, ids[0], None, kind="whim")
