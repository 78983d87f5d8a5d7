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
SUM_SLOTS = "SELECT sum(requests), sum(tokens) FROM limiter_slots WHERE model = ? AND slot > ?"
SELECT_SLOTS = "SELECT slot, requests, tokens FROM limiter_slots WHERE model = ? AND slot > ?"
ADD_TO_SLOT = "UPDATE limiter_slots SET requests = requests + ?, tokens = tokens + ? WHERE model = ? AND slot = ?"
DROP_SLOTS = "DELETE FROM limiter_slots WHERE model = ? AND slot <= ?"
PUT_SLOT = "INSERT INTO limiter_slots (model, slot, requests, tokens) VALUES (?, ?, ?, ?)"


class ModelRows:
    """The breaker and limiter part of `GuardTables`.

    Read once per transaction, as `BudgetRows`; what the limiter counted is written by `flush_slots`.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._guards: dict[str, ModelGuards] = {}
        self._uses: dict[tuple[str, int], Use] = {}
        self._counted: dict[tuple[str, int], Use] = {}
        self._expired: dict[str, int] = {}

    def flush_slots(self) -> None:
        """Write what was counted."""
        for (model, slot), counted in self._counted.items():
            changed = self._connection.execute(ADD_TO_SLOT, (counted.requests, counted.tokens, model, slot))
            if not changed.rowcount and counted.requests:
                self._connection.execute(DROP_SLOTS, (model, self._expired[model]))
                self._connection.execute(PUT_SLOT, (model, slot, counted.requests, counted.tokens))
        self._counted.clear()

    def guards(self, model: str) -> ModelGuards:
        held = self._guards.get(model)
        if held is None:
            held = self._guards[model] = self._read_guards(model)
        return held

    def put_guards(self, model: str, guards: ModelGuards) -> None:
        self._guards[model] = guards
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
        self._read_slots_anew()
        rows = self._connection.execute("SELECT model FROM models UNION SELECT model FROM limiter_slots")
        return [model for (model,) in rows.fetchall()]

    def extend_probes(self, owner: str, until: float) -> None:
        self._connection.execute("UPDATE models SET probe_until = ? WHERE probe_owner = ?", (until, owner))
        self._guards.clear()

    def use(self, model: str, after_slot: int) -> Use:
        held = self._uses.get((model, after_slot))
        if held is None:
            self._read_slots_anew()
            requests, tokens = self._connection.execute(SUM_SLOTS, (model, after_slot)).fetchone()
            held = self._uses[model, after_slot] = Use(requests or 0, tokens or 0)
        return held

    def slots(self, model: str, after_slot: int) -> list[Slot]:
        self._read_slots_anew()
        return [Slot(*row) for row in self._connection.execute(SELECT_SLOTS, (model, after_slot)).fetchall()]

    def count(self, model: str, slot: int, tokens: int, expired_slot: int) -> None:
        self._expired[model] = expired_slot
        self._add(model, slot, Use(1, tokens))

    def correct_tokens(self, model: str, slot: int, change: int) -> None:
        self._add(model, slot, Use(0, change))

    def _add(self, model: str, slot: int, more: Use) -> None:
        self._counted[model, slot] = _sum(self._counted.get((model, slot)), more)
        for (of, after_slot), held in self._uses.items():
            if of == model and slot > after_slot:
                self._uses[of, after_slot] = _sum(held, more)

    def _read_guards(self, model: str) -> ModelGuards:
        row = self._connection.execute(SELECT_MODEL, (model,)).fetchone()
        if row is None:
            return UNSEEN
        *fields, recent, paused_until = row
        slots = tuple((slot, calls, faults) for slot, calls, faults in json.loads(recent))
        return ModelGuards(Breaker(*fields, recent=slots), paused_until)

    def _read_slots_anew(self) -> None:
        self.flush_slots()
        self._uses.clear()


def _sum(one: Use | None, more: Use) -> Use:
    return more if one is None else Use(one.requests + more.requests, one.tokens + more.tokens)
