"""Random histories of faults and successes against the rule as one would tell it."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from state.all_stores import LEASE_S, SETTINGS, AllStores

from resources.llm.state.protocol import Admitted, Intent, Refused, StoreConfig, Wait


class BreakerMachine(AllStores):
    """The model is the rule as one would tell it: five faults, sixty seconds, one probe, three successes."""

    def __init__(self) -> None:
        self.config = StoreConfig(lease_s=LEASE_S)
        super().__init__()
        self.state = "closed"
        self.faults = self.successes = 0
        self.opened_at = self.probe_until = 0.0
        self.probe = None
        self.open = []

    def half_open(self) -> bool:
        return self.state == "half_open" or (self.state == "open" and self.now >= self.opened_at + 60)

    @rule(seconds=st.floats(0, 40))
    def advance(self, seconds):
        self.now += seconds

    @rule()
    def admit(self):
        intent = self.intent(0, ())
        verdict = self.ask("admit", intent, self.now)
        if self.state == "closed":
            assert verdict == Admitted(probe=False)
        elif not self.half_open():
            assert isinstance(verdict, Refused)
            assert verdict.reason == "circuit_open"
            return
        elif self.probe and self.now < self.probe_until:
            assert isinstance(verdict, Wait)
            assert verdict.cause == "probe_in_flight"
            return
        else:
            assert verdict == Admitted(probe=True)
            self.successes = self.successes if self.state == "half_open" else 0
            self.state, self.probe, self.probe_until = "half_open", intent.attempt_id, self.now + LEASE_S
        self.open.append(intent)

    @rule(data=st.data(), health=st.sampled_from(["fault", "fault", "success", "neutral"]))
    def settle(self, data, health):
        if not self.open:
            return
        intent = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        before = self.state
        self.learn(intent, health)
        result = self.ask("settle", self.settlement(intent, "free", 0, health=health), self.now)
        change = result.breaker and (result.breaker.before, result.breaker.after)
        assert change == (None if before == self.state else (before, self.state))

    def learn(self, intent: Intent, health: str) -> None:
        if self.state == "closed":
            self.faults = {"fault": self.faults + 1, "success": 0, "neutral": self.faults}[health]
            if self.faults == 5:
                self.state, self.opened_at = "open", self.now
        elif self.state == "half_open" and self.probe == intent.attempt_id:
            self.probe = None
            if health == "fault":
                self.state, self.opened_at = "open", self.now
            elif health == "success":
                self.successes += 1
                if self.successes == 3:
                    self.state, self.faults = "closed", 0

    @rule(state=st.sampled_from(["open", "closed"]))
    def set_by_hand(self, state):
        self.ask("set_breaker", "m", state, self.now)
        self.state, self.faults, self.probe, self.opened_at = state, 0, None, self.now

    @rule()
    def renew(self):
        self.ask("renew", "a", self.now)
        if self.probe:
            self.probe_until = self.now + LEASE_S

    @rule(faults=st.just(5))
    def trip(self, faults):
        while self.state == "closed" and faults:
            intent = self.intent(0, ())
            assert self.ask("admit", intent, self.now) == Admitted()
            self.learn(intent, "fault")
            self.ask("settle", self.settlement(intent, "free", 0, health="fault"), self.now)
            faults -= 1

    @invariant()
    def the_state_shown_is_the_one_that_counts(self):
        for model in self.ask("models", self.now):
            assert model.breaker == ("half_open" if self.half_open() else self.state)


TestBreaker = BreakerMachine.TestCase
TestBreaker.settings = SETTINGS
