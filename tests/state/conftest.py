"""Stores to test: every contract test runs over each of them, with times handed in."""

from __future__ import annotations

import itertools
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from resources.llm.state import open_state_store
from resources.llm.state.protocol import Charge, Intent, ProviderHealth, Settlement, StateStore

MakeIntent = Callable[..., Intent]


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StateStore]:
    """A store that is not opened yet; owners `a` and `b` are closed at the end."""
    urls = {"memory": "memory", "sqlite": f"sqlite:///{tmp_path}/state.db"}
    made = open_state_store(urls.get(request.param) or request.getfixturevalue("redis_url"))
    yield made
    for owner in ("a", "b"):
        await made.close(owner, 1e12)


@pytest.fixture
def make_intent() -> MakeIntent:
    """Builds intents with ids `t1`, `t2`, … of model `m` and owner `a`."""
    numbers = itertools.count(1)

    def make(
        reserve: int = 100,
        scopes: tuple[str, ...] = ("org",),
        *,
        model: str = "m",
        tokens: int = 10,
        owner: str = "a",
    ) -> Intent:
        attempt_id = f"t{next(numbers)}"
        record = json.dumps({"attempt_id": attempt_id, "charge": "open", "cost_nano_usd": 0, "outcome": "open"})
        return Intent(attempt_id, model, scopes, reserve, tokens, owner, record)

    return make


@pytest.fixture
def settled() -> Callable[..., Settlement]:
    """Builds settlements whose record repeats charge and cost."""

    def make(
        intent: Intent,
        cost: int = 0,
        charge: Charge = "settled",
        *,
        health: ProviderHealth = "success",
        tokens_used: int | None = None,
        pause_s: float = 0.0,
    ) -> Settlement:
        record = json.dumps({"attempt_id": intent.attempt_id, "charge": charge, "cost_nano_usd": cost, "outcome": "ok"})
        return Settlement(intent.attempt_id, charge, cost, tokens_used, health, record, pause_s)

    return make
