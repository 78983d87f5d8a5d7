"""A state machine that asks all stores at once, so that none can differ."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine
from servers.valkey import shared_valkey

from resources.llm.state import open_state_store
from resources.llm.state.protocol import Intent, Settlement, StoreConfig

SETTINGS = settings(
    max_examples=30,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
LEASE_S = 15


class AllStores(RuleBasedStateMachine):
    """Asks the memory, the SQLite and the Redis store the same questions and demands the same answers."""

    config = StoreConfig(lease_s=LEASE_S)

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        urls = ("memory", f"sqlite:///{Path(self.folder.name) / 's.db'}", shared_valkey().url())
        self.stores = [open_state_store(url) for url in urls]
        self.runner = asyncio.Runner()
        self.now = 1_000_000.25
        self.count = 0
        self.ask("open", self.config, "a", self.now)

    def ask(self, method: str, *arguments):
        first, *others = (self.runner.run(getattr(store, method)(*arguments)) for store in self.stores)
        for other in others:
            assert other == first
        return first

    def intent(self, reserve: int, scopes: tuple[str, ...], tokens: int = 1, owner: str = "a") -> Intent:
        self.count += 1
        return Intent(f"t{self.count:04}", "m", scopes, reserve, tokens, owner, "{}")

    def settlement(self, intent: Intent, charge: str, cost: int, tokens=None, health="success") -> Settlement:
        record = json.dumps({"charge": charge, "cost_nano_usd": cost})
        return Settlement(intent.attempt_id, charge, cost, tokens, health, record)

    def teardown(self) -> None:
        for store in self.stores:
            for owner in ("a", "b"):
                self.runner.run(store.close(owner, self.now))
        self.runner.close()
        self.folder.cleanup()
