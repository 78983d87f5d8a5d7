"""Random histories of admissions, settlements, caps and deaths against a model that just adds up."""

from __future__ import annotations

import json

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from state.all_stores import LEASE_S, SETTINGS, AllStores

from resources.llm.state.protocol import Admitted, Intent, Refused, ScopeState, StoreConfig, Wait

SCOPES = ("org", "day:2026-11-22", "task:x", "free")
CAP_OF = {"org": "org", "day:2026-11-22": "day", "task:x": "task:x", "free": "free"}


class BudgetMachine(AllStores):
    """The model adds up what it was told; no scope may ever hold more than its cap, unless the cap came down."""

    config = StoreConfig({"org": 1000, "day": 600, "task:x": 300}, lease_s=LEASE_S)

    def __init__(self) -> None:
        super().__init__()
        self.caps = dict(self.config.caps_nano_usd)
        self.totals = {}
        self.open = {}
        self.booked = {}

    def spent(self, scope: str) -> int:
        totals = self.totals.get(scope, {})
        return totals.get("settled", 0) + totals.get("ambiguous", 0)

    def reserved(self, scope: str) -> int:
        return sum(intent.reserve_nano_usd for intent in self.open.values() if scope in intent.scopes)

    def expected(self, intent: Intent) -> str:
        held = False
        for scope in intent.scopes:
            cap = self.caps.get(CAP_OF[scope])
            if self.totals.get(scope, {}).get("frozen"):
                return "refused"
            if cap is None:
                continue
            if self.spent(scope) + intent.reserve_nano_usd > cap:
                return "refused"
            held = held or self.spent(scope) + self.reserved(scope) + intent.reserve_nano_usd > cap
        return "wait" if held else "admitted"

    def book(self, intent: Intent, kind: str, amount: int) -> None:
        del self.open[intent.attempt_id]
        self.booked[intent.attempt_id] = amount
        for scope in intent.scopes:
            self.totals[scope][kind] += amount

    @rule(
        reserve=st.integers(0, 250),
        scopes=st.lists(st.sampled_from(SCOPES), unique=True).map(tuple),
        owner=st.sampled_from("ab"),
    )
    def admit(self, reserve, scopes, owner):
        intent = self.intent(reserve, scopes, owner=owner)
        expected = self.expected(intent)
        verdict = self.ask("admit", intent, self.now)
        if expected == "admitted":
            assert verdict == Admitted()
            self.open[intent.attempt_id] = intent
            for scope in scopes:
                self.totals.setdefault(scope, {"settled": 0, "ambiguous": 0, "frozen": False})
                cap = self.caps.get(CAP_OF[scope])
                assert cap is None or self.spent(scope) + self.reserved(scope) <= cap
        elif expected == "wait":
            assert isinstance(verdict, Wait)
            assert verdict.cause == "budget_held"
        else:
            assert isinstance(verdict, Refused)
            assert verdict.reason == "budget_exhausted"

    @rule(data=st.data(), charge=st.sampled_from(["settled", "ambiguous", "free", "overrun"]))
    def settle(self, data, charge):
        if not self.open:
            return
        intent = self.open[data.draw(st.sampled_from(sorted(self.open)))]
        low, high = (intent.reserve_nano_usd + 1, 400) if charge == "overrun" else (0, intent.reserve_nano_usd)
        cost = data.draw(st.integers(low, high)) if charge in ("settled", "overrun") else 0
        result = self.ask("settle", self.settlement(intent, charge, cost), self.now)
        amount = intent.reserve_nano_usd if charge == "ambiguous" else cost
        self.book(intent, "ambiguous" if charge == "ambiguous" else "settled", amount)
        capped = [scope for scope in intent.scopes if self.caps.get(CAP_OF[scope]) is not None]
        newly = {scope for scope in capped if not self.totals[scope]["frozen"]} if charge == "overrun" else set()
        assert set(result.frozen_scopes) == newly
        for scope in newly:
            self.totals[scope]["frozen"] = True

    @rule(name=st.sampled_from(sorted(set(CAP_OF.values()))), cap=st.none() | st.integers(0, 1500))
    def set_cap(self, name, cap):
        self.ask("set_cap", name, cap)
        self.caps[name] = cap

    @rule(scope=st.sampled_from(SCOPES))
    def unfreeze(self, scope):
        self.ask("unfreeze", scope)
        if scope in self.totals:
            self.totals[scope]["frozen"] = False

    @rule()
    def lose_the_other_owner(self):
        self.now += LEASE_S
        self.ask("renew", "a", self.now)
        for intent in [intent for intent in self.open.values() if intent.owner == "b"]:
            self.book(intent, "ambiguous", intent.reserve_nano_usd)

    @rule()
    def rebuild(self):
        totals = self.totals.items()
        self.ask("rebuild", [(scope, each["settled"], each["ambiguous"]) for scope, each in totals])

    @invariant()
    def scopes_hold_what_was_booked(self):
        assert self.ask("scopes") == [
            ScopeState(
                scope,
                self.caps.get(CAP_OF[scope]),
                self.totals[scope]["settled"],
                self.totals[scope]["ambiguous"],
                self.reserved(scope),
                self.totals[scope]["frozen"],
            )
            for scope in sorted(self.totals)
        ]

    @invariant()
    def every_charge_is_in_the_outbox_once(self):
        records = self.ask("take_outbox", 10_000)
        costs = {attempt_id: json.loads(record) for attempt_id, record in records}
        assert len(records) == len(costs)
        assert set(costs) == set(self.booked)
        charged = {i: r["cost_nano_usd"] for i, r in costs.items() if r["charge"] in ("settled", "overrun")}
        assert all(self.booked[attempt_id] == cost for attempt_id, cost in charged.items())


TestBudget = BudgetMachine.TestCase
TestBudget.settings = SETTINGS
