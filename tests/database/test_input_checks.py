"""The lengths of production's requests: a sample in even steps over all of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from resources.database.repositories.input_checks import Requests, count_requests, spread_tokens
from resources.database.session import Database
from resources.database.tables import CallRow

START = datetime(2026, 11, 1, tzinfo=UTC)
CALLS = 1_000
REQUESTS = Requests("colours", "prompt", "answer", START, START + timedelta(days=1))


@pytest.fixture
def asked(database: Database) -> Database:
    """A day of `CALLS` calls, each one token longer than the one before; and others that are not looked at."""
    row = {
        "purpose": "serve",
        "task": "colours",
        "prompt_version_id": "prompt",
        "step": "answer",
        "requested_model": "m",
        "model": "m",
        "status": "ok",
        "cached": False,
        "attempts": 1,
        "output_tokens": 1,
        "cost_nano_usd": 1,
        "latency_s": 0.1,
    }
    times = [START + timedelta(minutes=number) for number in range(CALLS)]
    calls = [
        {**row, "call_id": f"call-{number}", "input_tokens": number, "started_at": at, "finished_at": at}
        for number, at in enumerate(times)
    ]
    changes = {"purpose": "judge", "task": "other", "prompt_version_id": "old", "step": "second", "status": "fallback"}
    late = {"started_at": REQUESTS.until, "finished_at": REQUESTS.until}
    others: list[dict[str, object]] = [{"call_id": f"other-{key}", key: value} for key, value in changes.items()]
    others.append({"call_id": "late", **late})
    calls += [{**calls[500], "input_tokens": 5_000, **other} for other in others]
    calls += [{**calls[0], "call_id": "without a step", "step": None}]
    with database.session() as session:
        session.execute(insert(CallRow), calls)
    return database


def test_a_sample_is_spread_over_all(asked: Database) -> None:
    with asked.session(read_only=True) as session:
        came = count_requests(session, REQUESTS)
        assert came == CALLS + 1
        for most in (1, 7, 400, 1_001, 5_000):
            tokens = sorted(spread_tokens(session, REQUESTS, most, came))
            assert len(tokens) == min(most, came)
            assert tokens[0] == 0
            steps = [after - before for before, after in zip(tokens, [*tokens[1:], CALLS], strict=True)]
            assert max(steps) <= came // most + 1
