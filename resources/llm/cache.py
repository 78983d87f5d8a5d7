"""The exact cache with single flight: identical requests at once make one provider call, across processes too."""

from __future__ import annotations

import asyncio
import logging

from domain.errors import StateUnavailableError, UnansweredError
from resources.llm.background import Background
from resources.llm.cache_entry import CachedAnswer, cache_applies, cache_key, decode, encode, storable
from resources.llm.call import Call, Layer, Timing
from resources.llm.endpoints import Endpoints
from resources.llm.settings import CacheSettings
from resources.llm.state.protocol import CacheFollow, CacheHit, CacheLead, CacheLookup, StateStore
from resources.llm.types import Completion, Request

_log = logging.getLogger(__name__)


class _Flight:
    """A call that others of this process wait for.

    Attributes:
        value: its answer, where that is stored nowhere.
        waiting: how many wait; who leads counts, where it has to pass its answer on.
    """

    __slots__ = ("ended", "value", "waiting")

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.value: bytes | None = None
        self.waiting = 0


class CacheLayer:
    """Answers from the store where it may; otherwise one caller leads and the others follow it."""

    def __init__(
        self,
        inner: Layer,
        store: StateStore,
        endpoints: Endpoints,
        settings: CacheSettings,
        timing: Timing,
        background: Background,
        *,
        owner: str,
    ) -> None:
        self._inner = inner
        self._store = store
        self._endpoints = endpoints
        self._settings = settings
        self._prefix = f"{settings.namespace}:" if settings.namespace else ""
        self._timing = timing
        self._background = background
        self._owner = owner
        self._flights: dict[str, _Flight] = {}
        self._store_away = False

    async def complete(self, request: Request, call: Call) -> Completion:
        """A stored answer, the leader's answer, or this call's own.

        Raises:
            UnansweredError: the deadline passed while another call was fetching the answer, or as inner layers say.
            ProviderError: this call led, and its provider failed.
            StateUnavailableError: the guards cannot be asked. A cache that cannot be asked is a miss.
        """
        if not self._settings.enabled or not cache_applies(request) or call.context.cache == "off":
            return await self._inner.complete(request, call)
        key = self._prefix + cache_key(request, self._endpoints.address(request.model))
        value = self._store.cache_peek(key, self._timing.clock())
        if value is not None and (answer := decode(value)) is not None:
            return _hit(answer, call, self._timing.monotonic())
        while True:
            lookup = await self._lookup(key)
            if lookup is None:
                return await self._inner.complete(request, call)
            if isinstance(lookup, CacheHit):
                answer = decode(lookup.value)
                return (
                    _hit(answer, call, self._timing.monotonic())
                    if answer
                    else await self._inner.complete(request, call)
                )
            if isinstance(lookup, CacheLead):
                return await self._lead(key, request, call)
            value = await self._follow(key, lookup, call)
            if value is not None and (answer := decode(value)) is not None:
                return _hit(answer, call, self._timing.monotonic())

    async def _lookup(self, key: str) -> CacheLookup | None:
        """None while the store is away: nobody leads then, and each call asks for itself."""

        def give_up_lead(lookup: CacheLookup) -> None:
            if isinstance(lookup, CacheLead):
                self._background.start(lambda: self._abandon(key))

        now = self._timing.clock()
        try:
            lookup = await self._background.undoable(
                lambda: self._store.cache_lookup(key, self._owner, now), give_up_lead
            )
        except StateUnavailableError as error:
            if not self._store_away:
                _log.warning("the cache is away, calls go on without it: %s", error)
            self._store_away = True
            return None
        self._store_away = False
        return lookup

    async def _lead(self, key: str, request: Request, call: Call) -> Completion:
        stored, value = False, None
        if call.context.cache == "read":
            self._flights.setdefault(key, _Flight()).waiting += 1  # who follows finds the answer here, or nowhere
        try:
            completion = await self._inner.complete(request, call)
            if storable(request, completion):
                value = answer = encode(completion)
                if call.context.cache == "on":
                    stored = await self._background.finish(lambda: self._fill(key, answer))
        finally:
            if not stored:
                await self._background.finish(lambda: self._abandon(key, value))
        return completion

    async def _follow(self, key: str, lookup: CacheFollow, call: Call) -> bytes | None:
        """Wait for a leader of this process to end, or for the time the store asks to; an answer that is not stored."""
        remaining = call.deadline - self._timing.monotonic()
        if remaining <= 0:
            raise UnansweredError("The deadline passed while another call was fetching the answer.", reason="deadline")
        flight = self._flights.setdefault(key, _Flight())
        flight.waiting += 1
        sleeper = asyncio.ensure_future(self._timing.sleep(min(lookup.seconds, remaining)))
        waker = asyncio.ensure_future(flight.ended.wait())
        try:
            await asyncio.wait((sleeper, waker), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            waker.cancel()
            flight.waiting -= 1
            if not flight.waiting and not flight.ended.is_set():
                self._flights.pop(key, None)  # the leader is another process, which wakes nobody here
        return flight.value

    async def _fill(self, key: str, value: bytes) -> bool:
        try:
            await self._store.cache_fill(key, value, self._settings.ttl_s, self._timing.clock())
        except StateUnavailableError as error:
            # The answer is in hand and paid for; only its copy is lost.
            _log.warning("an answer was not cached: %s", error)
            return False
        self._wake(key)
        return True

    async def _abandon(self, key: str, value: bytes | None = None) -> None:
        try:
            await self._store.cache_abandon(key, self._owner)
        except StateUnavailableError as error:
            _log.warning("the lead of a cached request passes on only when its lease ends: %s", error)
        self._wake(key, value)

    def _wake(self, key: str, value: bytes | None = None) -> None:
        if (flight := self._flights.pop(key, None)) is not None:
            flight.value = value
            flight.ended.set()


def _hit(answer: CachedAnswer, call: Call, now: float) -> Completion:
    return Completion(
        text=answer.text,
        status="ok",
        call_id=call.call_id,
        model=answer.model,
        usage=answer.usage,
        cost_nano_usd=0,
        latency_s=now - call.started,
        attempts=0,
        cached=True,
        origin_call_id=answer.call_id,
        origin_cost_nano_usd=answer.cost_nano_usd,
        origin_latency_s=answer.latency_s,
    )
