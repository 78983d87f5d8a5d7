"""Caps of budget scopes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import InputError, NotFoundError
from resources.database.repositories import budget_scopes
from resources.database.session import Database

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def test_caps_are_set_replaced_and_removed(database: Database):
    later = NOW + timedelta(hours=1)
    with database.session() as session:
        assert budget_scopes.caps(session) == {}
        budget_scopes.set_cap(session, "day", 5 * 10**9, now=NOW)
        budget_scopes.set_cap(session, "task:triage", 10**18, now=NOW)
        budget_scopes.set_cap(session, "day", 4 * 10**9, now=later)
        assert budget_scopes.caps(session) == {"day": 4 * 10**9, "task:triage": 10**18}
        assert budget_scopes.find(session, "day") == budget_scopes.BudgetScopeRecord("day", 4 * 10**9, None, later)
        budget_scopes.remove_cap(session, "day")
        budget_scopes.remove_cap(session, "day")
        assert budget_scopes.find(session, "day") is None
        assert [record.scope for record in budget_scopes.list_budget_scopes(session)] == ["task:triage"]


def test_a_frozen_scope_stays_frozen_when_its_cap_changes(database: Database):
    with database.session() as session:
        budget_scopes.set_cap(session, "day", 1, now=NOW)
        budget_scopes.set_frozen(session, "day", "overrun of call x", now=NOW)
        budget_scopes.set_cap(session, "day", 2, now=NOW)
        frozen = budget_scopes.find(session, "day")
        assert frozen is not None
        assert (frozen.cap_nano_usd, frozen.frozen_reason) == (2, "overrun of call x")
        budget_scopes.set_frozen(session, "day", None, now=NOW)
        thawed = budget_scopes.find(session, "day")
        assert thawed is not None
        assert thawed.frozen_reason is None


def test_nonsense_is_refused(database: Database):
    with database.session() as session:
        with pytest.raises(InputError, match="negative"):
            budget_scopes.set_cap(session, "day", -1, now=NOW)
        with pytest.raises(NotFoundError, match="has no cap"):
            budget_scopes.set_frozen(session, "day", "why", now=NOW)
