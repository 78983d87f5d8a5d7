"""Random histories through all guards at once: every store must give the same answers, to the last digit.

There is no model here but the stores themselves: what one rule alone means is told by the other machines.
"""

from __future__ import annotations

import json

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule
from state.all_stores import LEASE_S, SETTINGS, AllStores

from resources.llm.state.protocol import Admitted, BreakerPolicy, Intent, ModelLimits, Settlement, StoreConfig

MOST = 2**53 - 1
MODELS = ("openai/m", "vertex/ünïcode 😀", "free")
SCOPES = ("org", "day:2026-11-22", "month:2026-11", "day:", "task:a b\nc", "day", "réseau")
CAPS = st.none() | st.sampled_from([0, MOST, MOST - 1]) | st.integers(0, MOST)


class AllGuardsMachine(AllStores):
    """Two owners, three models, a breaker with an error rate, limits, caps up to the largest."""

    config = StoreConfig(
        {"org": MOST, "day": 5_000, "task:a b\nc": MOST - 7},
        {"openai/m": ModelLimits(7, 150), "vertex/ünïcode 😀": ModelLimits(tokens_per_minute=90)},
        BreakerPolicy(
            consecutive_faults=4, open_s=7.3, successes_to_close=2, error_rate=0.4, error_rate_window_s=9.7,
            error_rate_min_calls=5,
        ),
        lease_s=LEASE_S,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.open = []

    @initialize()
    def open_the_other_owner(self):
        self.ask("open", self.config, "b", self.now)

    @rule(seconds=st.floats(0, 12))
    def advance(self, seconds):
        self.now += seconds

    @rule(
        reserve=st.integers(0, 300) | st.integers(0, MOST),
        scopes=st.lists(st.sampled_from(SCOPES), max_size=4).map(tuple),
        model=st.sampled_from(MODELS),
        tokens=st.integers(0, 60),
        owner=st.sampled_from("ab"),
    )
    def admit(self, reserve, scopes, model, tokens, owner):
        self.count += 1
        record = json.dumps({"row": "ünï 😀", "n": 0.1 + 0.2, "empty": [], "none": None, "big": MOST})
        intent = Intent(f"t{self.count:04}", model, scopes, reserve, tokens, owner, record)
        if isinstance(self.ask("admit", intent, self.now), Admitted):
            self.open.append(intent)

    @rule(
        data=st.data(),
        charge=st.sampled_from(["settled", "settled", "ambiguous", "overrun", "free"]),
        health=st.sampled_from(["fault", "success", "neutral"]),
        tokens=st.none() | st.integers(0, 80),
        pause_s=st.sampled_from([0.0, 0.0, 0.0, 1.1]),
    )
    def settle(self, data, charge, health, tokens, pause_s):
        if not self.open:
            return
        intent = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        cost = data.draw(st.integers(0, min(MOST, intent.reserve_nano_usd + 3)))
        record = json.dumps({"charge": charge, "row": "ünï 😀", "list": []}, ensure_ascii=False)
        settlement = Settlement(intent.attempt_id, charge, cost, tokens, health, record, pause_s)
        self.ask("settle", settlement, self.now)
        self.ask("settle", settlement, self.now)

    @rule(name=st.sampled_from([*SCOPES, "month"]), cap=CAPS)
    def set_cap(self, name, cap):
        self.ask("set_cap", name, cap)

    @rule(scope=st.sampled_from(SCOPES))
    def unfreeze(self, scope):
        self.ask("unfreeze", scope)

    @rule(model=st.sampled_from(MODELS), state=st.sampled_from(["open", "closed"]))
    def set_breaker(self, model, state):
        self.ask("set_breaker", model, state, self.now)

    @rule(owner=st.sampled_from("ab"))
    def renew(self, owner):
        self.ask("renew", owner, self.now)

    @rule(charges=st.lists(st.tuples(st.sampled_from(SCOPES), st.integers(0, MOST), st.integers(0, MOST)), max_size=3))
    def rebuild(self, charges):
        self.ask("rebuild", charges)

    @rule(limit=st.integers(0, 5))
    def take_some_of_the_outbox(self, limit):
        taken = self.ask("take_outbox", limit)
        self.ask("acknowledge_outbox", [attempt_id for attempt_id, _ in taken[::2]])

    @rule()
    def look(self):
        self.ask("scopes")
        self.ask("models", self.now)
        self.ask("take_outbox", 1000)


TestAllGuards = AllGuardsMachine.TestCase
TestAllGuards.settings = SETTINGS
