"""A client over a scripted provider, on virtual time, over each state store."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from core.scripted import ScriptedProvider, VirtualTime

from resources.database.session import Database, open_database
from resources.database.tables.ledger import AttemptRow, CallRow
from resources.llm import CoreSettings, LLMClient, open_client
from resources.llm.events import Event
from resources.llm.state.redis import RedisStateStore

MODEL = "scripted/small"
PRICE = {"input_per_million": "0.10", "output_per_million": "0.40"}


@pytest.fixture
def ledger_url(tmp_path: Path, upgraded_file: Path) -> str:
    shutil.copyfile(upgraded_file, tmp_path / "promptory.db")
    return f"sqlite:///{tmp_path / 'promptory.db'}"


@pytest.fixture
def time() -> VirtualTime:
    return VirtualTime()


@pytest.fixture
def provider(time: VirtualTime) -> ScriptedProvider:
    return ScriptedProvider(time)


@dataclass
class Bench:
    """An open client with what a test looks at."""

    llm: LLMClient
    events: list[Event]
    ledger_url: str

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    async def scope(self, window: str) -> Any:
        return next(state for state in await self.llm.budgets() if state.scope == window)

    async def calls(self) -> list[CallRow]:
        await self.llm.flush()
        return rows(self.ledger_url, CallRow)

    async def attempts(self) -> list[AttemptRow]:
        await self.llm.flush()
        return rows(self.ledger_url, AttemptRow)


def rows(url: str, table: type[Any]) -> list[Any]:
    """All rows of a ledger table, oldest first."""
    database: Database = open_database(url)
    try:
        with database.session(read_only=True) as session:
            return list(session.query(table).order_by(table.started_at, next(iter(table.__table__.primary_key))))
    finally:
        database.dispose()


OpenBench = Callable[..., Awaitable[Bench]]


@pytest.fixture(params=["memory", "sqlite", "redis"])
def state_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    urls = {"memory": "memory", "sqlite": f"sqlite:///{tmp_path / 'state.db'}"}
    return urls.get(request.param) or request.getfixturevalue("redis_url")


@pytest.fixture
async def bench(
    provider: ScriptedProvider, time: VirtualTime, ledger_url: str, tmp_path: Path
) -> AsyncIterator[OpenBench]:
    """Opens clients with `bench(**settings)`; memory state unless told otherwise. Closed when the test ends."""
    async with AsyncExitStack() as stack:

        async def open_bench(**settings: Any) -> Bench:
            values: dict[str, Any] = {
                "state": "memory",
                "ledger": ledger_url,
                "prices": {MODEL: PRICE, "scripted/other": PRICE},
                "flush_interval_s": 60,
                **settings,
            }
            client = open_client(
                CoreSettings.parse(values),
                clock=time.clock,
                sleep=time.sleep,
                rng=random.Random(7),
                providers={"scripted": provider, "backup": provider},
            )
            llm = await stack.enter_async_context(client)
            if isinstance(store := llm._core.store, RedisStateStore):
                time.busy.append(store.is_asking)
            events: list[Event] = []
            llm.subscribe(events.append)
            return Bench(llm, events, values["ledger"])

        yield open_bench
