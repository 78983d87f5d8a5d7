"""Caps, scopes, intents and outbox as rows of the state file."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass

from resources.llm.state.protocol import ScopeState
from resources.llm.state.rules_budget import cap_names
from resources.llm.state.tables import OpenIntent

SELECT_SCOPE = """
SELECT settled, ambiguous, reserved, frozen, (SELECT min(cap) FROM caps WHERE name IN (?1, ?2))
FROM (SELECT 1) LEFT JOIN scopes ON scope = ?2
"""
# The cap that binds a window is the lower one of its own and of its name's, as `rules_budget.cap_names` has it.
SELECT_SCOPES = """
SELECT scope, cap, settled, ambiguous, reserved, frozen FROM (
    SELECT scopes.*, coalesce(min(own.cap, named.cap), own.cap, named.cap) AS cap
    FROM scopes
    LEFT JOIN caps AS own ON own.name = scope
    LEFT JOIN caps AS named
        ON named.name = CASE WHEN scope GLOB 'day:?*' THEN 'day' WHEN scope GLOB 'month:?*' THEN 'month' END
)
"""
PUT_SCOPE = """
INSERT INTO scopes (scope, settled, ambiguous, reserved) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (scope) DO UPDATE SET settled = ?2, ambiguous = ?3, reserved = ?4
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
DROP_RECORDS = "DELETE FROM outbox WHERE attempt_id IN (SELECT value FROM json_each(?))"


@dataclass(slots=True)
class _Totals:
    """A scope as this transaction left it, and whether the file knows that yet."""

    settled: int
    ambiguous: int
    reserved: int
    frozen: bool
    cap: int | None
    changed: bool = False


class BudgetRows:
    """The money part of `GuardTables`.

    Steps that share a transaction mostly concern the same scopes, so totals are read once and written once per
    transaction; `flush_scopes` must be called before it ends.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._scopes: dict[str, _Totals] = {}

    def flush_scopes(self) -> None:
        """Write what changed."""
        changed = [(scope, totals) for scope, totals in self._scopes.items() if totals.changed]
        if changed:
            values = [(scope, totals.settled, totals.ambiguous, totals.reserved) for scope, totals in changed]
            self._connection.executemany(PUT_SCOPE, values)
        for _, totals in changed:
            totals.changed = False

    def scope(self, scope: str) -> ScopeState:
        held = self._totals(scope)
        return ScopeState(scope, held.cap, held.settled, held.ambiguous, held.reserved, frozen=held.frozen)

    def all_scopes(self) -> list[ScopeState]:
        return self._scopes_where("TRUE")

    def capped_scopes(self) -> list[ScopeState]:
        return self._scopes_where("cap IS NOT NULL")

    def add(self, scope: str, settled: int, ambiguous: int, reserved: int) -> None:
        totals = self._totals(scope)
        totals.settled += settled
        totals.ambiguous += ambiguous
        totals.reserved += reserved
        totals.changed = True

    def replace_totals(self, charges: list[tuple[str, int, int]]) -> None:
        self._read_anew()
        self._connection.execute("UPDATE scopes SET settled = 0, ambiguous = 0, reserved = 0")
        for scope, settled, ambiguous in charges:
            self.add(scope, settled, ambiguous, 0)
        for scope, reserved in self._connection.execute(RESERVE_OF_OPEN_INTENTS).fetchall():
            self.add(scope, 0, 0, reserved)

    def set_frozen(self, scope: str, frozen: bool) -> None:
        self._read_anew()
        self._connection.execute("UPDATE scopes SET frozen = ? WHERE scope = ?", (frozen, scope))

    def configure_cap(self, name: str, cap_nano_usd: int) -> None:
        self._read_anew()
        self._connection.execute(CONFIGURE_CAP, (name, cap_nano_usd))

    def put_cap(self, name: str, cap_nano_usd: int | None) -> None:
        self._read_anew()
        self._connection.execute(PUT_CAP, (name, cap_nano_usd))

    def caps(self) -> dict[str, int]:
        return dict(self._connection.execute("SELECT name, cap FROM caps WHERE cap IS NOT NULL ORDER BY name"))

    def intent(self, attempt_id: str) -> OpenIntent | None:
        row = self._connection.execute(f"{SELECT_INTENT} WHERE attempt_id = ?", (attempt_id,)).fetchone()
        return None if row is None else _intent(*row)

    def intents_of(self, owner: str) -> list[OpenIntent]:
        rows = self._connection.execute(f"{SELECT_INTENT} WHERE owner = ? ORDER BY slot, attempt_id", (owner,))
        return [_intent(*row) for row in rows.fetchall()]

    def open_attempts(self) -> list[tuple[str, str]]:
        return self._connection.execute("SELECT owner, record FROM intents").fetchall()

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
        self._connection.execute(DROP_RECORDS, (json.dumps(attempt_ids),))

    def _totals(self, scope: str) -> _Totals:
        held = self._scopes.get(scope)
        if held is None:
            row = self._connection.execute(SELECT_SCOPE, cap_names(scope)).fetchone()
            settled, ambiguous, reserved, frozen, cap = row
            held = _Totals(settled or 0, ambiguous or 0, reserved or 0, bool(frozen), cap)
            self._scopes[scope] = held
        return held

    def _scopes_where(self, condition: str) -> list[ScopeState]:
        self._read_anew()
        rows = self._connection.execute(f"{SELECT_SCOPES} WHERE {condition} ORDER BY scope")
        return [ScopeState(*totals, frozen=bool(frozen)) for *totals, frozen in rows]

    def _read_anew(self) -> None:
        """Before the rows are touched in another way than through the totals held here."""
        self.flush_scopes()
        self._scopes.clear()


def _intent(
    attempt_id: str, model: str, scopes: str, reserve: int, tokens: int, owner: str, record: str, slot: int
) -> OpenIntent:
    return OpenIntent(attempt_id, model, tuple(json.loads(scopes)), reserve, tokens, owner, record, slot)
