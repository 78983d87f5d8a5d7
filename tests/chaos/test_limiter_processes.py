"""One limit binds four processes, is used, and leaves nobody out.

The processes' clock runs `PROMPTORY_LIMITER_SPEED` times as fast as real time (4; 1 for real time). What the store
granted is held to the limit by that clock, however slow the machine is. So is what the server saw, but for what a slow
machine adds to the second that the limiter leaves for differing ways to the server.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import pytest
from chaos.chaos_worker import Plan
from chaos.crowd import Place, crowd, wait_until

from benchmarks.books import read_attempts
from benchmarks.meter import PRICE, Behaviour, InvoiceLine
from benchmarks.provider import start_provider

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]
SPEED = float(os.environ.get("PROMPTORY_LIMITER_SPEED", "4"))
# A full window turns over every 62 s: 60, one for the slot a request is counted in, one for the way to the server.
WINDOW_S, GRANTED_S, TURNOVER_S = 60.0, 61.0, 62.0
CYCLES = 2
REQUESTS, TOKENS = 240, 40_000
LIMITS = {"openai/r": {"requests_per_minute": REQUESTS}, "openai/t": {"tokens_per_minute": TOKENS}}
MOST = {"openai/r": REQUESTS, "openai/t": TOKENS}
# Bulk has most callers in three processes, one of which has a guest; the fourth process has a caller of its own.
CALLERS = [{"bulk": 12}, {"bulk": 12}, {"bulk": 12, "guest": 1}, {"single": 1}]
WORDS = 200


@dataclass(frozen=True)
class Grant:
    """An attempt by the processes' clock: when it was admitted, when it arrived (if it did), and what it weighed."""

    task: str
    model: str
    admitted_at: float
    received_at: float | None
    weight: int


def _most_in(window_s: float, weighed: Sequence[tuple[float, int]]) -> int:
    """The most weight in any half-open window of that length."""
    moments = [moment for moment, _ in sorted(weighed)]
    sums = [0, *accumulate(weight for _, weight in sorted(weighed))]
    return max(sums[bisect_left(moments, start + window_s)] - sums[index] for index, start in enumerate(moments))


def _grants(ledger: str, invoice: Sequence[InvoiceLine], since: float) -> list[Grant]:
    """What the store granted, as the ledger has it; the server must have seen nothing else."""
    lines = {line.key: line for line in invoice}
    attempts = read_attempts(ledger)
    assert len(lines) == len(invoice)
    assert lines.keys() <= {attempt.row for attempt in attempts}
    grants = []
    for attempt in attempts:
        line = lines.get(attempt.row)  # none where the call was given up at the end before it was sent
        received_at = since + (line.received_at - since) * SPEED if line else None
        weight = 1 if attempt.model == "openai/r" else line.tokens if line else 0
        grants.append(Grant(attempt.row.split(".")[0], attempt.model, attempt.admitted_at, received_at, weight))
    return sorted(grants, key=lambda grant: grant.admitted_at)


def _used(invoice: Sequence[InvoiceLine]) -> dict[str, int]:
    counted = Counter({"openai/r": 0, "openai/t": 0})
    for line in invoice:
        counted[f"openai/{line.model}"] += 1 if line.model == "r" else line.tokens
    return counted


def test_one_limit_binds_four_processes_is_used_and_leaves_nobody_out(place: Place) -> None:
    since = time.time()
    enough = {model: 0.95 * limit * CYCLES * TURNOVER_S / WINDOW_S for model, limit in MOST.items()}
    with start_provider(Behaviour(latency_s=0.02, answer="word " * WORDS)) as provider:
        settings = place.settings(
            provider.base_url,
            limits=LIMITS,
            prices=dict.fromkeys(LIMITS, PRICE),
            cache={"enabled": False},
            lease_s=600,
        )
        plans = [
            Plan(
                settings,
                callers,
                models=tuple(LIMITS),
                max_output_tokens=WORDS,
                purpose="batch",
                speed=SPEED,
                since=since,
            )
            for callers in CALLERS
        ]
        with crowd(plans, apart=place.apart) as processes:
            processes.begin()
            wait_until(lambda: provider.counts()["billed"] > 0, "the first request")
            ends_at = provider.invoice()[0].received_at + CYCLES * TURNOVER_S / SPEED

            def is_over() -> bool:
                used = _used(provider.invoice())
                return time.time() > ends_at or all(used[model] >= most for model, most in enough.items())

            wait_until(is_over, "the limits to be used")
            processes.stop()
            processes.told()
        provider.settled_counts()
        grants = _grants(place.ledger, provider.invoice(), since)
    for model, limit in MOST.items():
        _assert_within(limit, [grant for grant in grants if grant.model == model])
        _assert_used(enough[model], [grant for grant in grants if grant.model == model])


def _assert_within(limit: int, grants: Sequence[Grant]) -> None:
    assert _most_in(GRANTED_S, [(grant.admitted_at, grant.weight) for grant in grants]) <= limit
    arrived = [(grant.received_at, grant.weight) for grant in grants if grant.received_at is not None]
    ways = [grant.received_at - grant.admitted_at for grant in grants if grant.received_at is not None]
    window_s = min(WINDOW_S, GRANTED_S - (max(ways) - min(ways)))
    assert _most_in(window_s, arrived) <= limit, f"in a window of {window_s:.2f} s"


def _assert_used(enough: float, grants: Sequence[Grant]) -> None:
    began = grants[0].admitted_at
    measured = [grant for grant in grants if grant.admitted_at < began + CYCLES * TURNOVER_S]
    assert sum(grant.weight for grant in measured) >= enough
    later = Counter(grant.task for grant in measured if grant.admitted_at >= began + GRANTED_S)
    assert later.keys() == {"bulk", "guest", "single"}, f"in the second minute only {later}"
    assert later["bulk"] > later["guest"]
