"""Breakers and limiters as rows of the state file."""

from __future__ import annotations

import json
import sqlite3

from resources.llm.state.rules_breaker import Breaker
from resources.llm.state.rules_limiter import Slot, Use
from resources.llm.state.tables import ModelGuards

UNSEEN = ModelGuards(Breaker())
SELECT_MODEL = """
SELECT state, consecutive_faults, successes, opened_at, probe, probe_owner, probe_until, recent, paused_until
FROM models WHERE model = ?
"""
PUT_MODEL = """
INSERT OR REPLACE INTO models (
    model, state, consecutive_faults, successes, opened_at, probe, probe_owner, probe_until, recent, paused_until
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class ModelRows:
    """The breaker and limiter part of `GuardTables`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def guards(self, model: str) -> ModelGuards:
        row = self._connection.execute(SELECT_MODEL, (model,)).fetchone()
        if row is None:
            return UNSEEN
        *fields, recent, paused_until = row
        slots = tuple((slot, calls, faults) for slot, calls, faults in json.loads(recent))
        return ModelGuards(Breaker(*fields, recent=slots), paused_until)

    def put_guards(self, model: str, guards: ModelGuards) -> None:
        breaker = guards.breaker
        self._connection.execute(
            PUT_MODEL,
            (
                model,
                breaker.state,
                breaker.consecutive_faults,
                breaker.successes,
                breaker.opened_at,
                breaker.probe,
                breaker.probe_owner,
                breaker.probe_until,
                json.dumps(breaker.recent),
                guards.paused_until,
            ),
        )

    def model_names(self) -> list[str]:
        rows = self._connection.execute("SELECT model FROM models UNION SELECT model FROM limiter_slots")
        return [model for (model,) in rows.fetchall()]

    def extend_probes(self, owner: str, until: float) -> None:
        self._connection.execute("UPDATE models SET probe_until = ? WHERE probe_owner = ?", (until, owner))

    def use(self, model: str, after_slot: int) -> Use:
        query = "SELECT sum(requests), sum(tokens) FROM limiter_slots WHERE model = ? AND slot > ?"
        requests, tokens = self._connection.execute(query, (model, after_slot)).fetchone()
        return Use(requests or 0, tokens or 0)

    def slots(self, model: str, after_slot: int) -> list[Slot]:
        query = "SELECT slot, requests, tokens FROM limiter_slots WHERE model = ? AND slot > ?"
        return [Slot(*row) for row in self._connection.execute(query, (model, after_slot)).fetchall()]

    def count(self, model: str, slot: int, tokens: int, expired_slot: int) -> None:
        counted = self._connection.execute(
            "UPDATE limiter_slots SET requests = requests + 1, tokens = tokens + ? WHERE model = ? AND slot = ?",
            (tokens, model, slot),
        )
        if counted.rowcount:
            return
        self._connection.execute("DELETE FROM limiter_slots WHERE model = ? AND slot <= ?", (model, expired_slot))
        self._connection.execute(
            "INSERT INTO limiter_slots (model, slot, requests, tokens) VALUES (?, ?, 1, ?)", (model, slot, tokens)
        )

    def correct_tokens(self, model: str, slot: int, change: int) -> None:
        self._connection.execute(
            "UPDATE limiter_slots SET tokens = tokens + ? WHERE model = ? AND slot = ?", (change, model, slot)
        )
