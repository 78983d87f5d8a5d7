"""Caps, scopes, intents and outbox as rows of the state file."""

from __future__ import annotations

import json
import sqlite3

from resources.llm.state.protocol import ScopeState
from resources.llm.state.rules_budget import cap_names
from resources.llm.state.tables import OpenIntent

SELECT_SCOPE = """
SELECT settled, ambiguous, reserved, frozen, (SELECT min(cap) FROM caps WHERE name IN (?1, ?2))
FROM (SELECT 1) LEFT JOIN scopes ON scope = ?2
"""
ADD_TO_SCOPE = """
INSERT INTO scopes (scope, settled, ambiguous, reserved) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (scope) DO UPDATE SET settled = settled + ?2, ambiguous = ambiguous + ?3, reserved = reserved + ?4
"""
CONFIGURE_CAP = """
INSERT INTO caps (name, cap, configured) VALUES (?1, ?2, ?2)
ON CONFLICT (name) DO UPDATE SET cap = ?2, configured = ?2 WHERE configured IS NOT ?2
"""
PUT_CAP = "INSERT INTO caps (name, cap) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET cap = ?2"
SELECT_INTENT = "SELECT attempt_id, model, scopes, reserve, tokens, owner, record, slot FROM intents"
RESERVE_OF_OPEN_INTENTS = """
SELECT value, sum(reserve) FROM intents, json_each(intents.scopes) GROUP BY value
"""


class BudgetRows:
    """The money part of `GuardTables`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def scope(self, scope: str) -> ScopeState:
        row = self._connection.execute(SELECT_SCOPE, cap_names(scope)).fetchone()
        settled, ambiguous, reserved, frozen, cap = row
        return ScopeState(scope, cap, settled or 0, ambiguous or 0, reserved or 0, frozen=bool(frozen))

    def all_scopes(self) -> list[ScopeState]:
        names = self._connection.execute("SELECT scope FROM scopes ORDER BY scope").fetchall()
        return [self.scope(name) for (name,) in names]

    def add(self, scope: str, settled: int, ambiguous: int, reserved: int) -> None:
        self._connection.execute(ADD_TO_SCOPE, (scope, settled, ambiguous, reserved))

    def replace_totals(self, charges: list[tuple[str, int, int]]) -> None:
        self._connection.execute("UPDATE scopes SET settled = 0, ambiguous = 0, reserved = 0")
        for scope, settled, ambiguous in charges:
            self.add(scope, settled, ambiguous, 0)
        for scope, reserved in self._connection.execute(RESERVE_OF_OPEN_INTENTS).fetchall():
            self.add(scope, 0, 0, reserved)

    def set_frozen(self, scope: str, frozen: bool) -> None:
        self._connection.execute("UPDATE scopes SET frozen = ? WHERE scope = ?", (frozen, scope))

    def configure_cap(self, name: str, cap_nano_usd: int) -> None:
        self._connection.execute(CONFIGURE_CAP, (name, cap_nano_usd))

    def put_cap(self, name: str, cap_nano_usd: int | None) -> None:
        self._connection.execute(PUT_CAP, (name, cap_nano_usd))

    def caps(self) -> dict[str, int]:
        return dict(self._connection.execute("SELECT name, cap FROM caps WHERE cap IS NOT NULL ORDER BY name"))

    def intent(self, attempt_id: str) -> OpenIntent | None:
        row = self._connection.execute(f"{SELECT_INTENT} WHERE attempt_id = ?", (attempt_id,)).fetchone()
        return None if row is None else _intent(*row)

    def intents_of(self, owner: str) -> list[OpenIntent]:
        rows = self._connection.execute(f"{SELECT_INTENT} WHERE owner = ? ORDER BY slot, attempt_id", (owner,))
        return [_intent(*row) for row in rows.fetchall()]

    def put_intent(self, intent: OpenIntent) -> None:
        self._connection.execute(
            "INSERT INTO intents (attempt_id, model, scopes, reserve, tokens, owner, record, slot) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                intent.attempt_id,
                intent.model,
                json.dumps(intent.scopes),
                intent.reserve_nano_usd,
                intent.tokens,
                intent.owner,
                intent.record,
                intent.slot,
            ),
        )

    def drop_intent(self, attempt_id: str) -> None:
        self._connection.execute("DELETE FROM intents WHERE attempt_id = ?", (attempt_id,))

    def put_record(self, attempt_id: str, record: str) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO outbox (attempt_id, record) VALUES (?, ?)", (attempt_id, record)
        )

    def take_records(self, limit: int) -> list[tuple[str, str]]:
        return self._connection.execute(
            "SELECT attempt_id, record FROM outbox ORDER BY seq LIMIT ?", (limit,)
        ).fetchall()

    def drop_records(self, attempt_ids: list[str]) -> None:
        self._connection.executemany("DELETE FROM outbox WHERE attempt_id = ?", [(each,) for each in attempt_ids])


def _intent(
    attempt_id: str, model: str, scopes: str, reserve: int, tokens: int, owner: str, record: str, slot: int
) -> OpenIntent:
    return OpenIntent(attempt_id, model, tuple(json.loads(scopes)), reserve, tokens, owner, record, slot)
