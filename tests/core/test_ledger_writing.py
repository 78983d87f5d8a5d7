"""The ledger: complete, written once, never in a call's way, and the memory of a state store that has none."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from threading import Event, Thread
from time import sleep

import pytest
from core.asking import ask, charged_to
from core.conftest import MODEL, OpenBench, rows
from core.scripted import Reply, ScriptedProvider

from domain.errors import DatabaseUnavailableError, FaultClass
from domain.pricing import Usage
from resources.database.tables.ledger import AttemptRow, BudgetScopeRow, CallRow
from resources.llm.events import CallFinished, LedgerDelayed
from resources.llm.ledger_database import LedgerDatabase, open_ledger_database
from resources.llm.ledger_rows import call_row
from resources.llm.records import AttemptFacts, Ending, attempt_record, lineage_of, lost_record
from resources.llm.restore import restore_spend
from resources.llm.state import open_state_store
from resources.llm.state.protocol import StoreConfig
from resources.llm.types import CallContext

COST = 10 * 100 + 5 * 400
DAY = "day:2026-11-22"


@pytest.fixture(params=["sqlite", "postgresql"])
def any_ledger_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue("ledger_url" if request.param == "sqlite" else "upgraded_postgres_url")


async def test_every_call_and_attempt_is_in_it(
    bench: OpenBench, provider: ScriptedProvider, any_ledger_url: str
) -> None:
    b = await bench(ledger=any_ledger_url, budgets={"day": "1"})
    context = CallContext(
        purpose="evaluate",
        task="t",
        scopes=("day",),
        prompt_version_id="p" * 64,
        step="answer",
        dataset_version_id="d" * 64,
        row_id="r",
        run_id="run",
        batch_id="batch",
        experiment_id="e",
        unit_id="u",
    )
    provider.replies.append(Reply(fault=FaultClass.TIMEOUT))
    done = await b.llm.complete(ask(temperature=0.0), context)
    await b.llm.complete(ask(temperature=0.0), context)
    first, hit = await b.calls()
    for name in ("purpose", "task", "prompt_version_id", "step", "dataset_version_id", "row_id", "run_id", "batch_id"):
        assert getattr(first, name) == getattr(hit, name) == getattr(context, name)
    assert (first.experiment_id, first.unit_id) == ("e", "u")
    assert (first.call_id, first.attempts, first.cost_nano_usd) == (done.call_id, 2, done.cost_nano_usd)
    assert (hit.cached, hit.attempts, hit.cost_nano_usd, hit.origin_call_id) == (True, 0, 0, done.call_id)
    assert [(a.number, a.charge, a.outcome) for a in await b.attempts()] == [
        (1, "ambiguous", "timeout"),
        (2, "settled", "ok"),
    ]
    assert (await b.scope(DAY)).ambiguous_nano_usd + (await b.scope(DAY)).settled_nano_usd == done.cost_nano_usd


async def test_a_call_that_still_goes_on_is_not_called_lost(bench: OpenBench, provider: ScriptedProvider) -> None:
    b = await bench()
    provider.replies.extend([Reply(fault=FaultClass.SERVER), Reply(hangs=True)])
    call = asyncio.create_task(b.llm.complete(ask(), charged_to("day")))
    while len(provider.sent) < 2:  # noqa: ASYNC110 - the second attempt has no event of its own
        await asyncio.sleep(0)
    assert await b.calls() == []
    assert await b.attempts() == []  # without its call it could not be traced, should the process die now
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    assert [row.status for row in await b.calls()] == ["cancelled"]
    assert [attempt.outcome for attempt in await b.attempts()] == ["server", "cancelled"]


async def test_open_calls_do_not_stop_up_the_outbox(
    bench: OpenBench, provider: ScriptedProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resources.llm.ledger._BATCH", 3)
    b = await bench()
    provider.replies.extend([Reply(fault=FaultClass.SERVER)] * 3 + [Reply(hangs=True)] * 3)
    context = replace(charged_to("day"), row_id="r7")
    hanging = [asyncio.create_task(b.llm.complete(ask(str(n)), context)) for n in range(3)]
    while len(provider.sent) < 6:  # noqa: ASYNC110 - the second attempts have no event of their own
        await asyncio.sleep(0)
    provider.replies.clear()
    await b.llm.complete(ask("other"), charged_to("day"))
    assert len(await b.attempts()) == 4
    assert [(call.status, call.row_id) for call in await b.calls() if call.status != "ok"] == [("lost", "r7")] * 3
    for call in hanging:
        call.cancel()
    await asyncio.gather(*hanging, return_exceptions=True)
    assert sorted(call.status for call in await b.calls()) == ["cancelled"] * 3 + ["ok"]


async def test_flushing_again_writes_nothing_twice(bench: OpenBench) -> None:
    b = await bench()
    for _ in range(3):
        await b.llm.complete(ask(), charged_to("day"))
        await b.llm.flush()
        await b.llm.flush()
    assert (len(await b.calls()), len(await b.attempts())) == (3, 3)


async def test_a_database_that_is_away_fails_no_call_and_loses_no_record(
    bench: OpenBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = await bench()
    true_write = LedgerDatabase.write

    def away(*_: object) -> None:
        raise DatabaseUnavailableError("The database is away.")

    monkeypatch.setattr(LedgerDatabase, "write", away)
    done = [await b.llm.complete(ask(), charged_to("day")) for _ in range(5)]
    with pytest.raises(DatabaseUnavailableError):
        await b.llm.flush()
    await b.llm._core.heartbeat.flush()
    assert b.of(LedgerDelayed)[0].waiting_calls == 5
    assert (await b.llm.health()).ledger_waiting_calls == 5
    monkeypatch.setattr(LedgerDatabase, "write", true_write)
    assert {call.call_id for call in await b.calls()} == {answer.call_id for answer in done}
    assert len(await b.attempts()) == 5


async def test_a_deleted_state_file_forgets_no_spend(
    bench: OpenBench, provider: ScriptedProvider, tmp_path: Path, ledger_url: str
) -> None:
    cap = Decimal(20 * COST) / 10**9
    settings = {"budgets": {"day": cap, "task:t": 1}}
    before = await bench(state=f"sqlite:///{tmp_path / 'one.db'}", **settings)
    provider.replies.append(Reply(fault=FaultClass.TIMEOUT))
    await before.llm.complete(ask(), charged_to("day", "task:t"))
    for _ in range(5):
        await before.llm.complete(ask(), charged_to("day"))
    remembered = {state.scope: state for state in await before.llm.budgets()}
    await before.llm.close()
    for state_url in (f"sqlite:///{tmp_path / 'two.db'}", "memory"):
        after = await bench(state=state_url, **settings)
        assert {state.scope: state for state in await after.llm.budgets()} == remembered
    while (done := await after.llm.complete(ask(), charged_to("day"))).status == "ok":
        pass
    assert done.reason == "budget_exhausted"
    assert (await after.scope(DAY)).settled_nano_usd <= 20 * COST


async def test_a_state_that_remembers_is_not_rebuilt(
    bench: OpenBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path / 'state.db'}"
    first = await bench(state=url)
    await first.llm.complete(ask(), charged_to("day"))
    await first.llm.flush()
    await first.llm.complete(ask(), charged_to("day"))  # not in the ledger yet
    second = await bench(state=url)
    assert (await second.scope(DAY)).settled_nano_usd == 2 * COST


async def test_clients_that_find_the_store_empty_at_once_rebuild_it_once(bench: OpenBench, tmp_path: Path) -> None:
    first = await bench(state="memory")
    await first.llm.complete(ask(), charged_to("day"))
    await first.llm.close()
    url = f"sqlite:///{tmp_path / 'state.db'}"
    opened = await asyncio.gather(*(bench(state=url) for _ in range(4)))
    for b in opened:
        await b.llm.complete(ask(), charged_to("day"))
    assert (await opened[0].scope(DAY)).settled_nano_usd == 5 * COST


async def test_what_was_spent_while_waiting_for_the_ledger_is_not_undone() -> None:
    store = open_state_store("memory")
    await store.open(StoreConfig(), "me", 0.0)
    loop = asyncio.get_running_loop()

    class SlowLedger:
        def rebuilding(self, apply) -> None:
            others = store.rebuild([(DAY, 900, 0)])  # another process was first, and has gone on to spend
            asyncio.run_coroutine_threadsafe(others, loop).result()
            apply([(DAY, 500, 0)])

        def caps(self) -> dict[str, int]:
            return {}

    assert not await restore_spend(store, SlowLedger(), {})  # pyright: ignore
    assert [state.settled_nano_usd for state in await store.scopes()] == [900]


def test_who_rebuilds_waits_longer_for_the_turn_before_than_others_for_a_lock(upgraded_postgres_url: str) -> None:
    mark = "&" if "?" in upgraded_postgres_url else "?"
    impatient = f"{upgraded_postgres_url}{mark}options=-c%20lock_timeout%3D50ms"
    first, second = open_ledger_database(upgraded_postgres_url), open_ledger_database(impatient)
    has_turn, turns = Event(), list[str]()

    def take_long(*_: object) -> None:
        has_turn.set()
        sleep(0.3)
        turns.append("first")

    slow = Thread(target=first.rebuilding, args=(take_long,))
    try:
        slow.start()
        assert has_turn.wait(10)
        second.rebuilding(lambda *_: turns.append("second"))
    finally:
        slow.join()
        first.dispose()
        second.dispose()
    assert turns == ["first", "second"]


async def test_caps_set_by_hand_outlive_the_state_file(bench: OpenBench, ledger_url: str) -> None:
    b = await bench(budgets={"day": 1, "org": 1})
    await b.llm.set_cap("run:7", Decimal("0.25"))
    await b.llm.set_cap("day", Decimal("0.5"))
    await b.llm.set_cap("org", Decimal("2"))
    again = await bench(budgets={"day": 1, "org": 1})
    await again.llm.complete(ask(), charged_to("day", "run:7", "org"))
    caps = {state.scope: state.cap_nano_usd for state in await again.llm.budgets()}
    assert caps == {DAY: 500_000_000, "run:7": 250_000_000, "org": 1_000_000_000}
    await again.llm.set_cap("run:7", None)
    assert {row.scope for row in _caps(ledger_url)} == {"day", "org"}


def _caps(url: str) -> list[BudgetScopeRow]:
    database = open_ledger_database(url)
    try:
        with database._database.session(read_only=True) as session:
            return list(session.query(BudgetScopeRow))
    finally:
        database.dispose()


def _facts(number: int = 1) -> AttemptFacts:
    lineage = lineage_of("c1", MODEL, CallContext(purpose="batch", task="t", row_id="r1"), 1_795_305_600.0)
    return AttemptFacts(
        f"c1-{number}", "c1", number, MODEL, (DAY,), 9000, (40, 9), None, "dead", 1_795_305_601.0, lineage
    )


def test_a_record_of_the_version_before_has_no_reserved_tokens(ledger_url: str) -> None:
    record = json.loads(lost_record(_facts()))
    del record["reserved_input_tokens"], record["reserved_output_tokens"]
    database = open_ledger_database(ledger_url)
    try:
        database.write([], [json.dumps(record)])
    finally:
        database.dispose()
    (attempt,) = rows(ledger_url, AttemptRow)
    assert (attempt.reserved_nano_usd, attempt.reserved_input_tokens) == (9000, None)


def test_a_lost_attempt_yields_its_call_and_the_true_row_wins(any_ledger_url: str) -> None:
    database = open_ledger_database(any_ledger_url)
    try:
        database.write([], [lost_record(_facts())])
        (call,) = rows(any_ledger_url, CallRow)
        assert (call.status, call.row_id, call.purpose, call.cost_nano_usd) == ("lost", "r1", "batch", 9000)
        answered = attempt_record(_facts(2), Ending("ok", "settled", 3000), 1_795_305_605.0)
        database.write([], [answered, answered])
        (call,) = rows(any_ledger_url, CallRow)
        assert (call.status, call.attempts, call.cost_nano_usd, call.latency_s) == ("ok", 2, 12_000, 5.0)
        true = CallFinished(
            "c1", CallContext(), MODEL, MODEL, "cancelled", "cancelled", False, None, 2, Usage(), 12_000, 6.0, 1.0, 2.0
        )
        database.write([call_row(true)], [])
        database.write([], [lost_record(_facts())])
        (call,) = rows(any_ledger_url, CallRow)
        assert call.status == "cancelled"
        assert len(rows(any_ledger_url, AttemptRow)) == 2
    finally:
        database.dispose()


async def test_ledger_scopes_and_bill_agree_to_the_nano_dollar(
    bench: OpenBench, provider: ScriptedProvider, state_url: str
) -> None:
    rng = random.Random(11)
    b = await bench(state=state_url, budgets={"day": "1", "task:a": "0.4", "task:b": "0.4"})
    faults = [None] * 6 + [FaultClass.TIMEOUT, FaultClass.SERVER, FaultClass.RATE_LIMITED, FaultClass.CONNECTION]
    provider.otherwise = lambda _request: Reply(
        input_tokens=rng.randint(1, 50),
        output_tokens=rng.randint(0, 10),
        fault=(fault := rng.choice(faults)),
        takes_s=rng.random(),
        retry_after_s=0.1,
        bills=fault is None or (fault in (FaultClass.TIMEOUT, FaultClass.CONNECTION) and rng.random() < 0.5),
    )
    contexts = [charged_to("day", f"task:{rng.choice('ab')}") for _ in range(120)]
    done = await asyncio.gather(*(b.llm.complete(ask(str(n)), context) for n, context in enumerate(contexts)))
    attempts = await b.attempts()
    certain = sum(a.cost_nano_usd for a in attempts if a.charge == "settled")
    ambiguous = [a for a in attempts if a.charge == "ambiguous"]
    assert ambiguous
    assert certain <= provider.billed_nano_usd <= certain + sum(a.cost_nano_usd for a in ambiguous)
    unanswered = provider.billed_nano_usd - certain
    assert 0 < unanswered <= sum(a.reserved_nano_usd for a in ambiguous)
    day = await b.scope(DAY)
    assert (day.settled_nano_usd, day.ambiguous_nano_usd) == (certain, sum(a.cost_nano_usd for a in ambiguous))
    per_task = Counter()
    for attempt in attempts:
        per_task[attempt.scopes[1]] += attempt.cost_nano_usd
    for task, cost in per_task.items():
        state = await b.scope(task)
        assert state.settled_nano_usd + state.ambiguous_nano_usd == cost
    assert sum(answer.cost_nano_usd for answer in done) == sum(call.cost_nano_usd for call in await b.calls())
    assert sum(a.cost_nano_usd for a in attempts) == sum(answer.cost_nano_usd for answer in done)
    assert len(provider.sent) == len(attempts)


def test_a_providers_odd_request_id_cannot_make_a_row_unstorable(any_ledger_url: str) -> None:
    database = open_ledger_database(any_ledger_url)
    try:
        odd = replace(Ending("ok", "settled", 1), provider_request_id="\x00" + "x" * 500)
        database.write([], [attempt_record(_facts(), odd, 1_795_305_605.0)])
        assert rows(any_ledger_url, AttemptRow)[0].provider_request_id == "x" * 200
    finally:
        database.dispose()
