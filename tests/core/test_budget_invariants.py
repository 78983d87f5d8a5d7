"""No scope exceeds its cap at any instant, whatever the provider and the callers do."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from core.asking import ask, charged_to
from core.conftest import MODEL, PRICE, rows
from core.scripted import Reply, ScriptedProvider, VirtualTime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import FaultClass, ProviderError
from resources.database.tables.ledger import AttemptRow
from resources.llm import CoreSettings, LLMClient, open_client
from resources.llm.state.protocol import ScopeState

RESERVE = 50 * 100 + 10 * 400
FAULTS = [FaultClass.TIMEOUT, FaultClass.SERVER, FaultClass.RATE_LIMITED, FaultClass.INVALID_REQUEST]

replies = st.builds(
    Reply,
    input_tokens=st.integers(0, 50),
    output_tokens=st.integers(0, 10),
    fault=st.none() | st.none() | st.sampled_from(FAULTS),
    takes_s=st.floats(0, 30),
)
plans = st.lists(
    st.tuples(st.sampled_from(["day", "task:a", "task:b"]), st.none() | st.floats(0.1, 20)), min_size=1, max_size=25
)


class Watch:
    """Looks at every scope each time money moves."""

    def __init__(self, llm: LLMClient) -> None:
        self.llm = llm
        self.broken: list[ScopeState] = []
        store = llm._core.store
        for name in ("admit", "settle"):
            setattr(store, name, self._watched(getattr(store, name)))

    def _watched(self, step):
        async def watched(*args):
            result = await step(*args)
            for state in await self.llm.budgets():
                total = state.settled_nano_usd + state.ambiguous_nano_usd + state.reserved_nano_usd
                if state.cap_nano_usd is not None and total > state.cap_nano_usd:
                    self.broken.append(state)
            return result

        return watched


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    script=st.lists(replies, max_size=25), plan=plans, caps=st.tuples(*[st.integers(0, 12)] * 3), fallback=st.booleans()
)
def test_no_cap_is_exceeded_and_the_books_close(
    upgraded_file: Path, script: list[Reply], plan: list, caps: tuple[int, int, int], fallback: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        ledger = Path(folder, "promptory.db")
        shutil.copyfile(upgraded_file, ledger)
        asyncio.run(_play(f"sqlite:///{ledger}", script, plan, caps, fallback))


async def _play(ledger: str, script: list[Reply], plan: list, caps: tuple[int, int, int], fallback: bool) -> None:
    time = VirtualTime()
    provider = ScriptedProvider(time)
    provider.replies.extend(script)
    budgets = {
        name: Decimal(cap * RESERVE) / 10**9 for name, cap in zip(("day", "task:a", "task:b"), caps, strict=True)
    }
    core = CoreSettings.parse(
        {
            "state": "memory",
            "ledger": ledger,
            "prices": {MODEL: PRICE, "scripted/other": PRICE},
            "budgets": budgets,
            "fallback": {"models": {MODEL: ["scripted/other"]}} if fallback else {},
            "flush_interval_s": 60,
        }
    )
    opened = open_client(
        core, clock=time.clock, sleep=time.sleep, rng=random.Random(1), providers={"scripted": provider}
    )
    async with opened as llm:
        watch = Watch(llm)
        await asyncio.gather(*(_call(llm, time, scope, give_up) for scope, give_up in plan))
        assert watch.broken == []
        await llm.flush()
        scopes = {state.scope: state for state in await llm.budgets()}
    attempts = rows(ledger, AttemptRow)
    assert len(attempts) == len(provider.sent)
    for window, state in scopes.items():
        assert state.reserved_nano_usd == 0
        charged = sum(attempt.cost_nano_usd for attempt in attempts if window in attempt.scopes)
        assert state.settled_nano_usd + state.ambiguous_nano_usd == charged
    certain = sum(attempt.cost_nano_usd for attempt in attempts if attempt.charge == "settled")
    ambiguous = sum(attempt.cost_nano_usd for attempt in attempts if attempt.charge == "ambiguous")
    assert certain <= provider.billed_nano_usd <= certain + ambiguous


async def _call(llm: LLMClient, time: VirtualTime, scope: str, give_up_after_s: float | None) -> None:
    scopes = ("day",) if scope == "day" else ("day", scope)
    call = asyncio.ensure_future(llm.complete(ask(), charged_to(*scopes)))
    if give_up_after_s is not None:
        await time.sleep(give_up_after_s)
        call.cancel()
    with contextlib.suppress(asyncio.CancelledError, ProviderError):
        await call


async def test_the_watch_itself_can_see_a_broken_cap(upgraded_file: Path, tmp_path: Path) -> None:
    """Would the test above notice? A store that forgets a reserve must be caught."""
    ledger = tmp_path / "promptory.db"
    shutil.copyfile(upgraded_file, ledger)
    time = VirtualTime()
    provider = ScriptedProvider(time, otherwise=lambda _request: Reply(takes_s=1.0, input_tokens=50, output_tokens=10))
    core = CoreSettings.parse(
        {"state": "memory", "ledger": f"sqlite:///{ledger}", "prices": {MODEL: PRICE}, "budgets": {"day": "0.00001"}}
    )
    opened = open_client(core, clock=time.clock, sleep=time.sleep, providers={"scripted": provider})
    async with opened as llm:
        watch = Watch(llm)
        llm._core.store._tables.scope = lambda scope: ScopeState(scope, None, 0, 0, 0, frozen=False)  # pyright: ignore
        tables = type(llm._core.store._tables)  # pyright: ignore
        watch.llm = type("Books", (), {"budgets": lambda _self: _true_books(llm, tables)})()  # pyright: ignore
        await asyncio.gather(*(llm.complete(ask(), charged_to("day")) for _ in range(3)))
    assert watch.broken


async def _true_books(llm: LLMClient, tables: type) -> list[ScopeState]:
    own = llm._core.store._tables  # pyright: ignore
    return [tables.scope(own, name) for name in own._totals]


@pytest.mark.parametrize("state", ["memory", "sqlite"])
async def test_thousands_of_waiting_calls_do_not_ask_thousands_of_times(
    state: str, upgraded_file: Path, tmp_path: Path
) -> None:
    ledger = tmp_path / "promptory.db"
    shutil.copyfile(upgraded_file, ledger)
    time = VirtualTime()
    provider = ScriptedProvider(time, otherwise=lambda _request: Reply(takes_s=0.5, input_tokens=1, output_tokens=0))
    url = "memory" if state == "memory" else f"sqlite:///{tmp_path / 'state.db'}"
    core = CoreSettings.parse(
        {
            "state": url,
            "ledger": f"sqlite:///{ledger}",
            "prices": {MODEL: PRICE},
            "budgets": {"day": Decimal(20 * RESERVE) / 10**9},
        }
    )
    async with open_client(core, clock=time.clock, sleep=time.sleep, providers={"scripted": provider}) as llm:
        asked = 0
        admit = llm._core.store.admit

        async def counted(*args):
            nonlocal asked
            asked += 1
            return await admit(*args)

        llm._core.store.admit = counted  # pyright: ignore
        done = await asyncio.gather(*(llm.complete(ask(), charged_to("day")) for _ in range(600)))
    assert {answer.status for answer in done} == {"ok"}
    assert asked < 600 * 4
