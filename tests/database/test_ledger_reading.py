"""Sums over the ledger and walks through it, against sums made by hand from the same rows."""

from __future__ import annotations

import random
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from domain.errors import NotFoundError
from resources.database.insert_ignore import insert_ignore
from resources.database.repositories import ledger, reserves, spending
from resources.database.repositories.records import as_row
from resources.database.session import Database
from resources.database.tables import AttemptRow, CallRow

MIDNIGHT = datetime(2026, 11, 22, tzinfo=UTC)
CHARGES = ("settled", "settled", "settled", "ambiguous", "overrun", "free")


def make_call(number: int, draw: random.Random) -> ledger.CallRecord:
    task = draw.choice(["triage", "refunds", None])
    return ledger.CallRecord(
        call_id=f"call-{number:05d}",
        origin_call_id=None,
        purpose=draw.choice(["evaluate", "optimize", "serve"]),
        task=task,
        prompt_version_id=draw.choice(["p" * 64, "q" * 64]) if task else None,
        step="answer",
        dataset_version_id="d" * 64,
        row_id=f"row-{number % 7}",
        run_id=draw.choice(["r" * 64, None]),
        batch_id=None,
        experiment_id=None,
        unit_id="u" * 500,  # callers choose these
        requested_model="openai/a",
        model=draw.choice(["openai/a", "openai/b"]),
        status="ok",
        reason=None,
        cached=False,
        attempts=1,
        input_tokens=10,
        output_tokens=5,
        cost_nano_usd=draw.randrange(10**12),
        latency_s=0.5,
        started_at=MIDNIGHT,
        # many calls share an instant, and some fall on the edges of the day
        finished_at=MIDNIGHT + timedelta(hours=draw.randrange(-24, 49)),
    )


def make_attempts(call: ledger.CallRecord, draw: random.Random) -> list[ledger.AttemptRecord]:
    made = []
    for number in range(draw.randrange(4)):
        charge = draw.choice(CHARGES)
        made.append(
            ledger.AttemptRecord(
                attempt_id=f"{call.call_id}-{number}",
                call_id=call.call_id,
                number=number,
                model=draw.choice(["openai/a", "openai/b"]),
                charge=charge,
                outcome="ok",
                reserved_nano_usd=10**12,
                reserved_input_tokens=draw.choice([None, 800, 1000]),
                reserved_output_tokens=draw.choice([None, 1000]),
                cost_nano_usd=0 if charge == "free" else draw.randrange(10**15),
                input_tokens=draw.randrange(1000),
                output_tokens=draw.randrange(1000),
                cached_input_tokens=0,
                price={"input_per_million": "0.15"} if draw.random() < 0.9 else None,
                scopes=["day:2026-11-22", f"task:{call.task}"] if call.task else [],
                provider_request_id=None,
                started_at=MIDNIGHT,
                finished_at=call.finished_at,
                latency_s=0.25,
            )
        )
    return made


@pytest.fixture
def calls() -> list[ledger.CallRecord]:
    draw = random.Random(7)
    return [make_call(number, draw) for number in range(300)]


@pytest.fixture
def attempts(calls: list[ledger.CallRecord]) -> list[ledger.AttemptRecord]:
    draw = random.Random(8)
    made = [attempt for call in calls for attempt in make_attempts(call, draw)]
    killed = make_call(99_999, draw)  # its maker was killed before the call row was written
    return made + [attempt for _ in range(3) for attempt in make_attempts(killed, draw)][:1]


@pytest.fixture
def filled(database: Database, calls: list[ledger.CallRecord], attempts: list[ledger.AttemptRecord]) -> Database:
    with database.session() as session:
        insert_ignore(session, CallRow, [as_row(call) for call in calls])
        insert_ignore(session, AttemptRow, [as_row(attempt) for attempt in attempts])
    return database


KEYS: dict[spending.SpendKey, Any] = {
    "task": lambda call, attempt: call and call.task,
    "purpose": lambda call, attempt: call and call.purpose,
    "prompt_version": lambda call, attempt: call and call.prompt_version_id,
    "run": lambda call, attempt: call and call.run_id,
    "model": lambda call, attempt: attempt.model,
    "day": lambda call, attempt: attempt.finished_at.date().isoformat(),
}


@pytest.mark.parametrize("by", KEYS)
@pytest.mark.parametrize("bounded", [False, True])
def test_spending_is_summed_by_group(
    filled: Database,
    calls: list[ledger.CallRecord],
    attempts: list[ledger.AttemptRecord],
    by: spending.SpendKey,
    bounded: bool,
):
    since, until = (MIDNIGHT, MIDNIGHT + timedelta(days=1)) if bounded else (None, None)
    by_id = {call.call_id: call for call in calls}
    groups: dict[str | None, list[ledger.AttemptRecord]] = defaultdict(list)
    for attempt in attempts:
        if not bounded or attempt.finished_at.date() == MIDNIGHT.date():
            groups[KEYS[by](by_id.get(attempt.call_id), attempt)].append(attempt)
    wanted = {
        key: spending.SpendLine(
            key=key,
            calls=len({item.call_id for item in items}),
            attempts=len(items),
            input_tokens=sum(item.input_tokens for item in items),
            output_tokens=sum(item.output_tokens for item in items),
            spent_nano_usd=sum(item.cost_nano_usd for item in items if item.charge in ("settled", "overrun")),
            ambiguous_nano_usd=sum(item.cost_nano_usd for item in items if item.charge == "ambiguous"),
        )
        for key, items in groups.items()
    }
    with filled.session(read_only=True) as session:
        lines = spending.spend(session, by, since=since, until=until)
        total = spending.totals(session, since=since, until=until)
    assert {line.key: line for line in lines} == wanted
    assert len(wanted) > 1 or by == "day"
    assert total.spent_nano_usd == sum(line.spent_nano_usd for line in lines)
    assert total.ambiguous_nano_usd == sum(line.ambiguous_nano_usd for line in lines) > 0
    if by == "day":
        assert [line.key for line in lines] == sorted(wanted)
    else:
        spent = [line.spent_nano_usd + line.ambiguous_nano_usd for line in lines]
        assert spent == sorted(spent, reverse=True)


def test_spending_of_one_task(filled: Database):
    with filled.session(read_only=True) as session:
        by_task = {line.key: line for line in spending.spend(session, "task")}
        by_model = spending.spend(session, "model", task="triage")
        assert spending.spend(session, "model", task="nothing") == []
    assert sum(line.spent_nano_usd for line in by_model) == by_task["triage"].spent_nano_usd > 0


def test_totals_tell_overruns_apart(filled: Database, attempts: list[ledger.AttemptRecord]):
    with filled.session(read_only=True) as session:
        total = spending.totals(session)
        nothing = spending.totals(session, since=MIDNIGHT + timedelta(days=30))
    sums = {
        charge: sum(item.cost_nano_usd for item in attempts if item.charge == charge)
        for charge in ("settled", "overrun", "ambiguous")
    }
    assert total == spending.Totals(len(attempts), *sums.values())
    assert all(sums.values())
    assert nothing == spending.Totals(0, 0, 0, 0)


def test_scope_totals_add_up_every_scope_of_every_attempt(filled: Database, attempts: list[ledger.AttemptRecord]):
    wanted: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for attempt in attempts:
        for scope in attempt.scopes:
            wanted[scope][attempt.charge == "ambiguous"] += attempt.cost_nano_usd
    with filled.session(read_only=True) as session:
        found = spending.scope_totals(session)
    assert found == [(scope, *wanted[scope]) for scope in sorted(wanted)]


def test_scope_spends_sum_what_was_admitted_since(filled: Database, attempts: list[ledger.AttemptRecord]):
    since = min(attempt.started_at for attempt in attempts)
    starts = (since, since + timedelta(hours=5), since + timedelta(days=99))
    found = {}
    with filled.session(read_only=True) as session:
        for one in spending.scope_spends(session, since, starts):
            found[one.scope] = (one.first_at, *one.spent_nano_usd)
    wanted = {}
    for scope in {scope for attempt in attempts for scope in attempt.scopes}:
        own = [attempt for attempt in attempts if scope in attempt.scopes and attempt.finished_at >= since]
        sums = [sum(one.cost_nano_usd for one in own if one.started_at >= start) for start in starts]
        if own:
            wanted[scope] = (min(one.started_at for one in own), *sums)
    assert found == wanted


def test_reserve_lines_compare_known_bills(filled: Database, attempts: list[ledger.AttemptRecord]):
    with filled.session(read_only=True) as session:
        found = {line.model: line for line in reserves.reserve_lines(session)}
    known = [attempt for attempt in attempts if attempt.charge in ("settled", "overrun")]
    assert set(found) == {attempt.model for attempt in known}
    for model, line in found.items():
        own = [attempt for attempt in known if attempt.model == model]
        assert line.attempts == len(own)
        assert line.reserved_nano_usd == sum(one.reserved_nano_usd for one in own)
        assert line.cost_nano_usd == sum(one.cost_nano_usd for one in own)
        assert line.overruns == sum(one.charge == "overrun" for one in own)
        for side, tokens in ((line.input_reserve, "input_tokens"), (line.output_reserve, "output_tokens")):
            pairs = [(getattr(one, f"reserved_{tokens}"), getattr(one, tokens)) for one in own]
            kept = [(reserved, billed) for reserved, billed in pairs if reserved is not None]
            assert len(kept) < len(pairs)
            assert (side.reserved, side.billed) == (sum(one[0] for one in kept), sum(one[1] for one in kept))
            assert side.worst_under == max(0, *(billed - reserved for reserved, billed in kept))
        assert line.input_reserve.worst_under > 0 == line.output_reserve.worst_under
        uses = [one.cost_nano_usd / one.reserved_nano_usd for one in own if one.reserved_nano_usd]
        assert (line.lowest_use, line.highest_use) == (
            (pytest.approx(min(uses)), pytest.approx(max(uses))) if uses else (None, None)
        )


@pytest.mark.parametrize("batch_rows", [1, 7, 100, 10_000])
def test_calls_of_a_day_come_in_batches_each_once(filled: Database, calls: list[ledger.CallRecord], batch_rows: int):
    wanted = sorted(
        (call for call in calls if call.finished_at.date() == MIDNIGHT.date()),
        key=lambda call: (call.finished_at, call.call_id),
    )
    batches = list(ledger.calls_of_day(filled, date(2026, 11, 22), batch_rows=batch_rows))
    assert [call for batch in batches for call in batch] == wanted
    assert all(len(batch) == batch_rows for batch in batches[:-1])
    assert all(batches)


def test_attempts_of_a_day_come_in_batches_each_once(filled: Database, attempts: list[ledger.AttemptRecord]):
    wanted = {attempt.attempt_id for attempt in attempts if attempt.finished_at.date() == MIDNIGHT.date()}
    found = [item for batch in ledger.attempts_of_day(filled, date(2026, 11, 22), batch_rows=9) for item in batch]
    assert {item.attempt_id for item in found} == wanted
    assert len(found) == len(wanted)
    assert list(ledger.attempts_of_day(filled, date(2020, 1, 1))) == []


def test_a_call_leads_to_its_attempts_and_a_row_to_its_calls(
    filled: Database, calls: list[ledger.CallRecord], attempts: list[ledger.AttemptRecord]
):
    call_id = next(attempt.call_id for attempt in attempts if attempt.number == 2)
    with filled.session(read_only=True) as session:
        assert ledger.get_call(session, call_id) == next(call for call in calls if call.call_id == call_id)
        assert ledger.attempts_of_call(session, call_id) == [item for item in attempts if item.call_id == call_id]
        of_row = ledger.calls_of_row(session, "triage", "row-3")
        of_run = ledger.calls_of_run(session, "r" * 64)
        with pytest.raises(NotFoundError, match="no call 'nothing'"):
            ledger.get_call(session, "nothing")
    wanted = {call.call_id for call in calls if (call.task, call.row_id) == ("triage", "row-3")}
    assert {call.call_id for call in of_row} == wanted
    assert {call.call_id for call in of_run} == {call.call_id for call in calls if call.run_id}


def test_ambiguous_attempts_are_listed_one_by_one(filled: Database, attempts: list[ledger.AttemptRecord]):
    wanted = sorted(
        (item for item in attempts if item.charge == "ambiguous" and item.finished_at >= MIDNIGHT),
        key=lambda item: (item.finished_at, item.attempt_id),
    )
    with filled.session(read_only=True) as session:
        assert ledger.ambiguous_attempts(session, since=MIDNIGHT) == wanted
        assert ledger.ambiguous_attempts(session, until=MIDNIGHT - timedelta(days=9)) == []


@pytest.mark.parametrize(
    "wrong", [{"charge": "guessed"}, {"cost_nano_usd": -1}, {"charge": "free", "cost_nano_usd": 1}]
)
def test_impossible_money_is_refused(filled: Database, attempts: list[ledger.AttemptRecord], wrong: dict[str, object]):
    row = {**as_row(attempts[0]), "attempt_id": "new", **wrong}
    with pytest.raises(IntegrityError), filled.session() as session:
        session.execute(insert(AttemptRow).values(row))
