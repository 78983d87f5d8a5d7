"""The state store of many machines: they share a Redis server, and what they admit survives their death.

The server must keep what it is told: `appendonly yes` and `maxmemory-policy noeviction`. All keys of a namespace carry
one hash tag, `{promptory}:…`, so they live on one node of a cluster.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import uuid
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, Literal

from domain.errors import StateUnavailableError
from resources.llm.state import redis_cache_scripts as cache_scripts
from resources.llm.state import redis_owner_scripts as owner_scripts
from resources.llm.state import redis_steering_scripts as steering_scripts
from resources.llm.state import rules_budget, steering
from resources.llm.state.admission import UNLIMITED
from resources.llm.state.protocol import (
    Admitted,
    BreakerChange,
    CacheLead,
    CacheLookup,
    CacheStats,
    Intent,
    ModelState,
    ScopeState,
    Settlement,
    SettleResult,
    StoreConfig,
    Verdict,
)
from resources.llm.state.redis_address import RedisAddress
from resources.llm.state.redis_answers import ModelReadout, read_lookup, read_scopes, read_settled, read_verdict
from resources.llm.state.redis_encoding import (
    amount,
    encode_intent,
    encode_policy,
    lost_records,
    number,
    optional,
    owner_and_record,
)
from resources.llm.state.redis_guard_scripts import ADMIT, SETTLE, WITHDRAW
from resources.llm.state.redis_lane import RedisLane, lost_data
from resources.llm.state.redis_own_intents import OwnIntents
from resources.llm.state.redis_script import FORMAT, Script
from resources.llm.state.rules_limiter import last_expired_slot

NEVER = b""

# Closing a connection that came through a fork would disturb the parent's event loop.
_INHERITED: list[RedisLane] = []


class RedisStateStore:
    """`StateStore` on a Redis server. A store belongs to the event loop that opened it; others open their own.

    A settlement whose answer is lost with its connection is booked once, but the breaker change or the frozen scopes
    it caused are not reported again.
    """

    def __init__(self, address: RedisAddress) -> None:
        self._address = address
        self._config = StoreConfig()
        self._policy = encode_policy(self._config.breaker)
        self._lane: RedisLane | None = None
        self._pid = os.getpid()
        self._epoch = b""
        self._owners: set[str] = set()
        self._leads: defaultdict[str, set[str]] = defaultdict(set)
        self._doubtful: set[str] = set()
        self._own = OwnIntents()
        self._questions = itertools.count()
        self._name = uuid.uuid4().hex

    async def open(self, config: StoreConfig, owner: str, now: float) -> None:
        caps = [
            each
            for name, cap in config.caps_nano_usd.items()
            for each in (name.encode(), amount(cap, f"budgets.{name}"))
        ]
        self._leave_parent()
        lane = self._lane_here() or RedisLane(self._address)
        silent_since = number(now - config.lease_s)
        candidate = f"{FORMAT}-{uuid.uuid4().hex}".encode()
        try:
            epoch, dead = await lane.run(
                owner_scripts.OPEN, [candidate, owner.encode(), number(now), silent_since, *caps]
            )
            self._require_format(epoch)
        except BaseException:
            if lane is not self._lane:
                await lane.close()
            raise
        opened_before, self._epoch = self._epoch, epoch
        if opened_before not in (b"", epoch):
            self._own.server_forgot()
        self._lane, self._config = lane, config
        self._policy = encode_policy(config.breaker)
        self._owners.add(owner)
        try:
            await self._bury(dead, silent_since)
        except BaseException:
            # Not open: what was known of other data must not pass for knowing these.
            self._epoch = opened_before
            raise

    async def admit(self, intent: Intent, now: float) -> Verdict:
        limits = self._config.limits.get(intent.model, UNLIMITED)
        self._doubtful.discard(intent.attempt_id)
        try:
            answer = await self._run(
                ADMIT,
                intent.attempt_id.encode(),
                encode_intent(intent, now),
                number(now),
                number(last_expired_slot(now)),
                optional(limits.requests_per_minute),
                optional(limits.tokens_per_minute),
                number(self._config.breaker.open_s),
                number(now + self._config.lease_s),
            )
        except StateUnavailableError:
            # The server may have admitted it and its answer got lost: nobody will settle it.
            self._doubtful.add(intent.attempt_id)
            raise
        verdict = read_verdict(answer, intent, self._config, now)
        if isinstance(verdict, Admitted):
            self._own.admitted(intent)
        return verdict

    async def settle(self, settlement: Settlement, now: float) -> SettleResult:
        if self._own.is_lost(settlement.attempt_id):
            raise lost_data(self._address)  # the server would take it for settled already
        answer = await self._settle(settlement, b"", now)
        if answer[0] == b"amend":
            overrun = rules_budget.amended(settlement.record, charge="overrun")
            answer = await self._settle(settlement, overrun.encode(), now)
        self._own.settled(settlement.attempt_id)
        return read_settled(answer)

    async def set_cap(self, scope: str, cap_nano_usd: int | None) -> None:
        cap = b"" if cap_nano_usd is None else amount(cap_nano_usd, scope)
        await self._run(steering_scripts.SET_CAP, scope.encode(), cap)

    async def caps(self) -> dict[str, int]:
        pairs = await self._run(steering_scripts.CAPS)
        return {name.decode(): int(cap) for name, cap in zip(pairs[::2], pairs[1::2], strict=True) if cap}

    async def unfreeze(self, scope: str) -> None:
        await self._run(steering_scripts.UNFREEZE, scope.encode())

    async def set_breaker(self, model: str, state: Literal["closed", "open"], now: float) -> BreakerChange | None:
        opened_at = number(now if state == "open" else 0)
        (before,) = await self._run(steering_scripts.SET_BREAKER, model.encode(), state.encode(), opened_at)
        return None if before.decode() == state else BreakerChange(model, before.decode(), state)

    async def scopes(self) -> list[ScopeState]:
        return read_scopes(await self._run(steering_scripts.SCOPE_STATES))

    async def capped_scopes(self) -> list[ScopeState]:
        return [state for state in await self.scopes() if state.cap_nano_usd is not None]

    async def models(self, now: float) -> list[ModelState]:
        limited = list(self._config.limits)
        answer = await self._run(steering_scripts.MODEL_STATES, *(model.encode() for model in limited))
        return steering.model_states(ModelReadout(answer, limited), self._config, now)

    async def open_attempts(self) -> list[tuple[str, str]]:
        return [owner_and_record(stored) for stored in await self._run(owner_scripts.OPEN_INTENTS)]

    async def take_outbox(self, limit: int) -> list[tuple[str, str]]:
        taken = await self._run(steering_scripts.TAKE, number(limit))
        return [(i.decode(), record.decode()) for i, record in zip(taken[::2], taken[1::2], strict=True)]

    async def acknowledge_outbox(self, attempt_ids: list[str]) -> None:
        await self._run(steering_scripts.ACKNOWLEDGE, *(attempt_id.encode() for attempt_id in attempt_ids))

    async def rebuild(self, charges: list[tuple[str, int, int]], holds: Sequence[Intent] = ()) -> None:
        flat = (str(each).encode() for charge in charges for each in charge)
        await self._run(steering_scripts.REBUILD, number(2 * len(holds)), *_opened_anew(holds), *flat)

    async def reclaim(self) -> None:
        if lost := self._own.lost():
            await self._run(steering_scripts.RECLAIM, *_opened_anew(lost))
            self._own.told_again(lost)

    def cache_peek(self, key: str, now: float) -> bytes | None:  # noqa: ARG002 - the Protocol's signature
        return None  # what this process remembers, another may have cleared

    async def cache_lookup(self, key: str, owner: str, now: float) -> CacheLookup:
        token = f"{self._name}{next(self._questions)}"
        answer = await self._run(
            cache_scripts.LOOKUP,
            key.encode(),
            owner.encode(),
            token.encode(),
            number(now + self._config.lease_s),
            number(now),
        )
        lookup = read_lookup(answer)
        if isinstance(lookup, CacheLead):
            self._leads[owner].add(key)
        return lookup

    async def cache_fill(self, key: str, value: bytes, ttl_s: float, now: float) -> None:
        self._forget_lead(key)
        most = number(self._config.cache_max_entries)
        await self._run(cache_scripts.FILL, key.encode(), value, number(now + ttl_s), most)

    async def cache_abandon(self, key: str, owner: str) -> None:
        self._leads[owner].discard(key)
        await self._run(cache_scripts.ABANDON, key.encode(), owner.encode())

    async def cache_clear(self, namespace: str | None = None) -> int:
        if namespace is None:
            (count,) = await self._run(cache_scripts.CLEAR)
        else:
            (count,) = await self._run(cache_scripts.CLEAR_NAMESPACE, namespace.encode())
        return int(count)

    async def cache_stats(self, now: float, namespace: str | None = None) -> CacheStats:
        if namespace is None:
            return CacheStats(*map(int, await self._run(cache_scripts.STATS, number(now))))
        held = await self._run(cache_scripts.NAMESPACE_STATS, number(now), namespace.encode())
        return CacheStats(*map(int, held), hits=None, misses=None)

    async def renew(self, owner: str, now: float) -> None:
        silent_since = number(now - self._config.lease_s)
        leads = (key.encode() for key in self._leads[owner])
        until = number(now + self._config.lease_s)
        dead = await self._run(owner_scripts.RENEW, owner.encode(), number(now), silent_since, until, *leads)
        await self._withdraw_doubtful()
        await self._bury(dead, silent_since)

    async def close(self, owner: str, now: float) -> None:  # noqa: ARG002 - the Protocol's signature
        if owner not in self._owners:
            return
        self._owners.discard(owner)
        self._leads.pop(owner, None)
        try:
            await self._withdraw_doubtful()
            await self._bury([owner.encode()], NEVER)
        finally:
            if not self._owners and (lane := self._lane_here()) is not None:
                self._lane = None
                await lane.close()

    def is_asking(self) -> bool:
        """Whether answers of the server are under way."""
        return self._lane is not None and self._lane.is_busy()

    async def _settle(self, settlement: Settlement, overrun_record: bytes, now: float) -> Any:
        return await self._run(
            SETTLE,
            settlement.attempt_id.encode(),
            settlement.charge.encode(),
            amount(settlement.cost_nano_usd, "cost"),
            optional(settlement.tokens_used),
            settlement.health.encode(),
            settlement.record.encode(),
            overrun_record,
            number(now + settlement.pause_s) if settlement.pause_s > 0 else NEVER,
            number(now),
            self._policy,
            amount(settlement.also_ambiguous_nano_usd, "cost"),
        )

    async def _withdraw_doubtful(self) -> None:
        """Give back what attempts hold that were refused here for want of an answer."""
        if doubtful := sorted(self._doubtful):
            await self._run(WITHDRAW, *(attempt_id.encode() for attempt_id in doubtful))
            self._doubtful.difference_update(doubtful)

    async def _bury(self, owners: list[bytes], silent_since: bytes) -> None:
        """Book what each owner left open as ambiguous and deregister it, unless heard of after `silent_since`."""
        for owner in owners:
            records: list[bytes] = []
            while left_open := await self._run(owner_scripts.BURY, owner, silent_since, *records):
                records = lost_records(left_open)

    async def _run(self, script: Script, *arguments: bytes) -> Any:
        lane = self._lane_here()
        if lane is None:
            raise StateUnavailableError(
                f"The state store at {self._address.place} is not open in this process.",
                field="state",
                mend="Open it first, in each process and on each event loop that uses it.",
            )
        return await lane.run(script, [self._epoch, *arguments])

    def _lane_here(self) -> RedisLane | None:
        """The open lane, if it is this process's and this event loop's."""
        lane = self._lane
        if lane is None or self._pid != os.getpid() or lane.loop is not asyncio.get_running_loop():
            return None
        return lane

    def _leave_parent(self) -> None:
        if self._pid == os.getpid():
            return
        if self._lane is not None:
            _INHERITED.append(self._lane)
        self._lane, self._pid = None, os.getpid()
        self._owners, self._leads, self._doubtful = set(), defaultdict(set), set()
        self._own = OwnIntents()
        self._name = uuid.uuid4().hex

    def _forget_lead(self, key: str) -> None:
        for keys in self._leads.values():
            keys.discard(key)

    def _require_format(self, epoch: bytes) -> None:
        found = epoch.decode().partition("-")[0]
        if found != FORMAT:
            raise StateUnavailableError(
                f"The state at {self._address.place} has format {found}, this program needs {FORMAT}.",
                field="state",
                mend="Give this program a namespace of its own in the `state` URL (?namespace=…).",
            )


def _opened_anew(intents: Sequence[Intent]) -> list[bytes]:
    """Ids and intents. The limiter's slot is one long past: the server no longer counts their tokens."""
    return [each for intent in intents for each in (intent.attempt_id.encode(), encode_intent(intent, 0.0))]
