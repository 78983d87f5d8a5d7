"""What a person does to production: past the gate, back, and back to the gate, each on record."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier

import pytest

from domain.alias_moves import version_before
from domain.errors import ConflictError, InputError, NotFoundError
from domain.prompt import PromptStep, PromptVersion
from resources.database.repositories import aliases, gate_decisions, prompt_versions
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.session import Database
from resources.evaluation.promote import promote_decided
from resources.evaluation.steering import promote_by_hand, release_hold, roll_back

TASK = "triage"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


@pytest.fixture
def ids(database: Database) -> list[str]:
    """Four versions; the first is in production."""
    with database.session() as session:
        made = [
            prompt_versions.register(
                session, TASK, PromptVersion(steps=(PromptStep(output_prompt=text),), model="offline/nearest"),
                created_by="author", now=NOW,
            ).id
            for text in "abcd"
        ]  # fmt: skip
        aliases.move(
            session, TASK, "production", made[0], expected_revision=None, moved_by="author", reason="first", now=NOW
        )
    return made


def decide(database: Database, name: str, candidate: str, production: str, verdict: str) -> GateDecisionRecord:
    record = GateDecisionRecord(
        name * 64, TASK, candidate, production, "d" * 64, None, None, 0, verdict, f"it is {verdict}", {}, NOW
    )
    with database.session() as session:
        return gate_decisions.record(session, record)


def by_hand(database: Database, reference: str, reason: str = "ruder"):
    return promote_by_hand(database, TASK, reference, "production", by="ada", reason=reason, now=NOW)


def back(database: Database, **options: str | None):
    values = {"by": "ada", "reason": None, **options}
    return roll_back(database, TASK, "production", now=NOW, **values)


def production(database: Database) -> str:
    with database.session(read_only=True) as session:
        return aliases.get(session, TASK, "production").prompt_version_id


def history(database: Database) -> list[aliases.AliasMoveRecord]:
    with database.session(read_only=True) as session:
        return aliases.history(session, TASK, "production")


def test_an_override_names_the_decision_it_overrules(database: Database, ids: list[str]):
    decide(database, "a", ids[1], ids[0], "reject")
    done = by_hand(database, "v2")
    assert (done.kind, done.before.id if done.before else None, done.after.id) == ("override", ids[0], ids[1])
    newest = history(database)[0]
    assert (newest.kind, newest.decision_id, newest.moved_by, newest.reason) == ("override", "a" * 64, "ada", "ruder")
    assert (newest.from_id, newest.to_id, newest.moved_at) == (ids[0], ids[1], NOW)
    assert by_hand(database, "v2").kind is None
    assert len(history(database)) == 2


def test_a_version_the_gate_never_saw_is_moved_by_hand(database: Database, ids: list[str]):
    assert by_hand(database, "v3").kind == "hand"
    assert history(database)[0].decision_id is None


@pytest.mark.parametrize("move", ["override", "rollback"])
def test_no_decision_moves_what_a_person_has_moved(database: Database, ids: list[str], move: str):
    """Whether it was made before the person's move or after, and whatever it compares."""
    earlier = decide(database, "a", ids[2], ids[1], "promote")
    decide(database, "b", ids[1], ids[0], "reject")
    if move == "override":
        by_hand(database, "v2")
    else:
        by_hand(database, "v2")
        by_hand(database, "v4")
        back(database)
    later = decide(database, "c", ids[3], ids[1], "promote")
    for decision in (earlier, later):
        outcome = promote_decided(database, TASK, decision.id, NOW)
        assert (outcome.moved, outcome.production_id) == (False, ids[1])
        assert "ada holds production since 2026-11-22 12:00 UTC" in outcome.reason
        assert "promptory prompt release triage" in outcome.reason
    release_hold(database, TASK, by="ada", reason="talked it over", now=NOW)
    assert promote_decided(database, TASK, later.id, NOW).moved
    assert production(database) == ids[3]


def test_an_overruled_decision_was_not_carried_out(database: Database, ids: list[str]):
    """A decision to keep that a person overruled is no reason to refuse the same version later."""
    kept = decide(database, "a", ids[1], ids[0], "keep")
    by_hand(database, "v2")
    back(database)
    release_hold(database, TASK, by="ada", reason="as before", now=NOW)
    won = decide(database, "b", ids[1], ids[0], "promote")
    assert promote_decided(database, TASK, won.id, NOW).moved
    assert [move.decision_id for move in history(database)][:4] == [won.id, None, None, kept.id]


def test_rolling_back_goes_one_version_back_each_time(database: Database, ids: list[str]):
    for name, reference in zip("ab", (1, 2), strict=True):
        decision = decide(database, name, ids[reference], ids[reference - 1], "promote")
        assert promote_decided(database, TASK, decision.id, NOW).moved
    first = back(database)
    assert (first.kind, first.before.id if first.before else None, first.after.id) == ("rollback", ids[2], ids[1])
    assert back(database, reason="both are bad").after.id == ids[0]
    assert [(move.kind, move.reason) for move in history(database)][:2] == [
        ("rollback", "both are bad"),
        ("rollback", "Rolled back from v3."),
    ]
    with pytest.raises(InputError, match="never pointed at another version than v1"):
        back(database)
    assert production(database) == ids[0]


def test_a_rollback_leaves_only_the_version_that_was_meant(database: Database, ids: list[str]):
    by_hand(database, "v2")
    with pytest.raises(ConflictError, match=r"points at v2 .*not at 'v3'"):
        back(database, leaving="v3")
    with pytest.raises(NotFoundError):
        back(database, leaving="v9")
    assert back(database, leaving="v2").after.id == ids[0]


def test_of_people_who_roll_back_at_once_one_does(database: Database, ids: list[str], monkeypatch: pytest.MonkeyPatch):
    """All have seen the same version in production before any of them moves it."""
    for reference in ("v2", "v3", "v4"):
        by_hand(database, reference)
    seen = Barrier(4)

    def look_together(moves):
        seen.wait(timeout=20)
        return version_before(moves)

    monkeypatch.setattr("resources.evaluation.steering.version_before", look_together)

    def attempt(_: int) -> bool:
        try:
            back(database)
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(attempt, range(4)))
    assert won.count(True) == 1
    assert production(database) == ids[2]


def test_unknown_aliases_and_empty_reasons_are_refused(database: Database, ids: list[str]):
    with pytest.raises(NotFoundError, match="no alias 'staging'"):
        roll_back(database, TASK, "staging", by="ada", reason=None, now=NOW)
    with pytest.raises(InputError, match="needs a reason"):
        by_hand(database, "v2", reason=" ")
    by_hand(database, "v2")
    with pytest.raises(InputError, match="needs a reason"):
        back(database, reason="")
    with pytest.raises(InputError, match="needs a reason"):
        release_hold(database, TASK, by="ada", reason="", now=NOW)
