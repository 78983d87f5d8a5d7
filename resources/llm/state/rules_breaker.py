"""The circuit breaker's transitions: pure functions from one `Breaker` to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from resources.llm.state.protocol import BreakerPolicy, BreakerState, ProviderHealth, Refused, Wait

PROBE_POLL_S = 0.05
RATE_SLOTS = 12

RecentSlot = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Breaker:
    """One model's breaker.

    Attributes:
        successes: probes that succeeded in a row since it was half-open.
        opened_at: when it opened last, epoch seconds.
        probe: attempt id of the probe in flight; it loses its exclusiveness at `probe_until`.
        recent: (slot, calls, faults) over the error-rate window, oldest first; empty without an error-rate rule.
    """

    state: BreakerState = "closed"
    consecutive_faults: int = 0
    successes: int = 0
    opened_at: float = 0.0
    probe: str | None = None
    probe_owner: str | None = None
    probe_until: float = 0.0
    recent: tuple[RecentSlot, ...] = ()


def state_at(breaker: Breaker, policy: BreakerPolicy, now: float) -> BreakerState:
    """The state that counts at `now`: an open breaker whose time is up is half-open."""
    if breaker.state == "open" and now >= breaker.opened_at + policy.open_s:
        return "half_open"
    return breaker.state


def ask(breaker: Breaker, policy: BreakerPolicy, now: float) -> Literal["pass", "probe"] | Wait | Refused:
    """Whether an attempt may go, as an ordinary one or as the probe. Changes nothing."""
    state = state_at(breaker, policy, now)
    if state == "closed":
        return "pass"
    if state == "open":
        left_s = breaker.opened_at + policy.open_s - now
        return Refused("circuit_open", f"The circuit breaker is open for another {left_s:.1f} s.")
    if breaker.probe is not None and now < breaker.probe_until:
        return Wait(min(PROBE_POLL_S, breaker.probe_until - now), "probe_in_flight")
    return "probe"


def start_probe(breaker: Breaker, attempt_id: str, owner: str, until: float) -> Breaker:
    """Half-open, with `attempt_id` as the only probe in flight."""
    successes = breaker.successes if breaker.state == "half_open" else 0
    return replace(
        breaker, state="half_open", successes=successes, probe=attempt_id, probe_owner=owner, probe_until=until
    )


def release_probe(breaker: Breaker, attempt_id: str) -> Breaker:
    """Free the probe's place, if `attempt_id` holds it, without learning anything."""
    if breaker.probe != attempt_id:
        return breaker
    return replace(breaker, probe=None, probe_owner=None, probe_until=0.0)


def opened(now: float, consecutive_faults: int = 0) -> Breaker:
    """A breaker that opens at `now`."""
    return Breaker(state="open", opened_at=now, consecutive_faults=consecutive_faults)


def learn(breaker: Breaker, policy: BreakerPolicy, attempt_id: str, health: ProviderHealth, now: float) -> Breaker:
    """The breaker after an attempt ended.

    Once it has opened, only the probe counts: answers to attempts sent before are old news.
    """
    if breaker.state == "closed":
        return _learn_closed(breaker, policy, health, now)
    if breaker.state == "half_open" and breaker.probe == attempt_id:
        return _learn_probe(release_probe(breaker, attempt_id), policy, health, now)
    return breaker


def _learn_closed(breaker: Breaker, policy: BreakerPolicy, health: ProviderHealth, now: float) -> Breaker:
    if health == "neutral":
        return breaker
    faults = breaker.consecutive_faults + 1 if health == "fault" else 0
    recent = _with_outcome(breaker.recent, policy, health == "fault", now)
    if faults >= policy.consecutive_faults or (health == "fault" and _rate_is_too_high(recent, policy)):
        return opened(now, faults)
    if faults == breaker.consecutive_faults and recent == breaker.recent:
        return breaker
    return replace(breaker, consecutive_faults=faults, recent=recent)


def _learn_probe(breaker: Breaker, policy: BreakerPolicy, health: ProviderHealth, now: float) -> Breaker:
    if health == "neutral":
        return breaker
    if health == "fault":
        return opened(now, breaker.consecutive_faults + 1)
    successes = breaker.successes + 1
    return Breaker() if successes >= policy.successes_to_close else replace(breaker, successes=successes)


def _with_outcome(
    recent: tuple[RecentSlot, ...], policy: BreakerPolicy, fault: bool, now: float
) -> tuple[RecentSlot, ...]:
    if policy.error_rate is None:
        return ()
    slot = math.floor(now / (policy.error_rate_window_s / RATE_SLOTS))
    kept = [entry for entry in recent if entry[0] > slot - RATE_SLOTS]
    calls, faults = 1, int(fault)
    if kept and kept[-1][0] == slot:
        _, earlier_calls, earlier_faults = kept.pop()
        calls, faults = calls + earlier_calls, faults + earlier_faults
    return (*kept, (slot, calls, faults))


def _rate_is_too_high(recent: tuple[RecentSlot, ...], policy: BreakerPolicy) -> bool:
    calls = sum(entry[1] for entry in recent)
    if policy.error_rate is None or calls < policy.error_rate_min_calls:
        return False
    return sum(entry[2] for entry in recent) / calls >= policy.error_rate
