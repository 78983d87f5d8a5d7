"""What goes into a column comes out of it, in both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import StatementError

from resources.database.insert_ignore import insert_ignore
from resources.database.repositories import answers, journal
from resources.database.repositories.answers import AnswerRecord
from resources.database.session import Database
from resources.database.tables import AnswerRow, BudgetScopeRow

NOW = datetime(2026, 11, 22, 12, 30, 15, 123456, tzinfo=UTC)

STRANGE_TEXTS = [
    "",
    "plain",
    "Größe 北京 🚀",
    "nul \0 inside",
    "half a pair \ud83d",
    "\udc00\ud800",
    '\x01json:"an answer that looks like the mark"',
    "\x01json:",
    "tabs\tand\r\nnew lines\n",
]


@pytest.mark.parametrize("value", STRANGE_TEXTS)
def test_any_answer_comes_back_exactly(database: Database, value: str):
    with database.session() as session:
        answers.put_many(session, [_answer("a" * 64, value)])
        journal.put_many(session, "run", {"key": {"text": value}}, now=NOW)
    with database.session(read_only=True) as session:
        assert answers.get_many(session, "p" * 64, ["a" * 64])["a" * 64].text == value
        assert journal.load_all(session, "run") == {"key": {"text": value}}


def test_ordinary_text_is_stored_as_it_is(database: Database):
    with database.session() as session:
        answers.put_many(session, [_answer("a" * 64, "Größe 🚀")])
        assert session.scalar(text("SELECT text FROM answers")) == "Größe 🚀"


def test_times_come_back_in_utc(database: Database):
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    row = {"scope": "day", "cap_nano_usd": 1, "updated_at": elsewhere}
    with database.session() as session:
        insert_ignore(session, BudgetScopeRow, [row])
        stored = session.scalar(select(BudgetScopeRow.updated_at))
    assert stored == NOW
    assert stored.tzinfo is UTC or stored.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(database: Database):
    row = {"scope": "day", "cap_nano_usd": 1, "updated_at": NOW.replace(tzinfo=None)}
    with pytest.raises(StatementError, match="without a time zone"), database.session() as session:
        insert_ignore(session, BudgetScopeRow, [row])


def test_nan_is_refused_in_json(database: Database):
    with pytest.raises((StatementError, ValueError), match="not JSON compliant"), database.session() as session:
        journal.put_many(session, "run", {"key": {"score": float("nan")}}, now=NOW)


def test_insert_ignore_counts_the_new_ones(database: Database):
    def rows(numbers: range) -> list[dict[str, object]]:
        return [{"scope": f"run:{n}", "cap_nano_usd": n, "updated_at": NOW} for n in numbers]

    with database.session() as session:
        assert insert_ignore(session, BudgetScopeRow, []) == 0
        assert insert_ignore(session, BudgetScopeRow, rows(range(3000))) == 3000
        assert insert_ignore(session, BudgetScopeRow, rows(range(2990, 3010))) == 10
        assert insert_ignore(session, BudgetScopeRow, rows(range(5)) + rows(range(5))) == 0
    with database.session() as session:
        assert insert_ignore(session, BudgetScopeRow, rows(range(3010, 3012)) * 2) == 2


def test_insert_ignore_keeps_the_first(database: Database):
    with database.session() as session:
        answers.put_many(session, [_answer("a" * 64, "first")])
        answers.put_many(session, [_answer("a" * 64, "second")])
        assert session.scalar(select(AnswerRow.text)) == "first"


def test_insert_ignore_ignores_nothing_but_keys(database: Database):
    with pytest.raises(StatementError), database.session() as session:
        insert_ignore(session, BudgetScopeRow, [{"scope": "day", "cap_nano_usd": -1, "updated_at": NOW}])


def _answer(input_id: str, value: str) -> AnswerRecord:
    return AnswerRecord(
        prompt_version_id="p" * 64,
        input_id=input_id,
        sample=0,
        text=value,
        call_id="call",
        model="openai/m",
        cost_nano_usd=2**40,
        latency_s=0.1,
        input_tokens=3,
        output_tokens=4,
        call_ids=["call"],
        broken_step=None,
        created_at=NOW,
    )
