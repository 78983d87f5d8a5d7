"""Random histories of requests against a model that looks at every 60 s."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from state.all_stores import SETTINGS, AllStores

from resources.llm.state.protocol import Admitted, ModelLimits, Settlement, StoreConfig, Wait

WINDOW_S = 60


class LimiterMachine(AllStores):
    """The model keeps every admission and looks at all 60 s windows that end with the newest."""

    def __init__(self) -> None:
        self.config = StoreConfig(limits={"m": ModelLimits(6, 100)}, lease_s=1e9)
        super().__init__()
        self.sent = []
        self.open = []

    def within(self, seconds: float):
        return [entry for entry in self.sent if self.now - entry["at"] <= seconds]

    @rule(seconds=st.floats(0, 30))
    def advance(self, seconds):
        self.now += seconds

    @rule(tokens=st.integers(0, 100))
    def admit(self, tokens):
        verdict = self.ask("admit", self.intent(0, (), tokens), self.now)
        if isinstance(verdict, Wait):
            assert verdict.cause == "rate_limited"
            assert verdict.seconds <= 62
            recent = self.within(62)
            assert len(recent) >= 6 or sum(entry["tokens"] for entry in recent) + tokens > 100
            self.now += verdict.seconds + 1e-6
            verdict = self.ask("admit", self.intent(0, (), tokens), self.now)
        assert verdict == Admitted()
        entry = {"at": self.now, "tokens": tokens, "id": f"t{self.count:04}"}
        self.sent.append(entry)
        self.open.append(entry)
        assert len(self.within(WINDOW_S)) <= 6
        assert sum(each["tokens"] for each in self.within(WINDOW_S)) <= 100

    @rule(data=st.data())
    def settle(self, data):
        if not self.open:
            return
        entry = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        used = data.draw(st.integers(0, entry["tokens"]))
        self.ask("settle", Settlement(entry["id"], "settled", 0, used, "success", "{}"), self.now)
        entry["tokens"] = used

    @invariant()
    def the_share_left_is_honest(self):
        (model,) = self.ask("models", self.now)
        assert model.requests_left <= 1 - len(self.within(WINDOW_S)) / 6 + 1e-9


TestLimiter = LimiterMachine.TestCase
TestLimiter.settings = SETTINGS
