"""The exact cache with single flight: identical requests at once make one provider call, across processes too."""

from __future__ import annotations

import asyncio
import logging

from domain.errors import StateUnavailableError, UnansweredError
from resources.llm.background import Background
from resources.llm.cache_entry import (
    CachedAnswer,
    answer_of,
    cache_applies,
    cache_key,
    decode,
    encode,
    storable,
)
from resources.llm.call import Call, Layer, Timing
from resources.llm.endpoints import Endpoints
from resources.llm.settings import CacheSettings
from resources.llm.state.protocol import CacheHit, CacheLead, CacheLookup, StateStore
from resources.llm.types import Completion, Request

_log = logging.getLogger(__name__)


class _Flight:
    """A call of this process that leads: those that ask the same meanwhile wait for it.

    Attributes:
        answer: what it brought, where that is stored nowhere.
    """

    __slots__ = ("answer", "ended")

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        self.answer: CachedAnswer | None = None


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
            if (flight := self._flights.get(key)) is not None:
                answer = await self._join(flight, call)
                if answer is not None and (answer.model == request.model or call.context.allow_fallback):
                    return _hit(answer, call, self._timing.monotonic())
                continue
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
            if key not in self._flights:  # another process leads, which wakes nobody here
                await self._timing.sleep(min(lookup.seconds, self._remaining(call)))

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
        flight = self._flights[key] = _Flight()
        stored, answer = False, None
        try:
            completion = await self._inner.complete(request, call)
            answer = answer_of(completion)
            if call.context.cache == "on" and storable(request, completion):
                stored = await self._background.finish(lambda: self._fill(key, encode(completion), flight))
        finally:
            if not stored:
                await self._background.finish(lambda: self._abandon(key, flight, answer))
        return completion

    async def _join(self, flight: _Flight, call: Call) -> CachedAnswer | None:
        """Wait for a leader of this process to end; its answer, where that is not stored."""
        sleeper = asyncio.ensure_future(self._timing.sleep(self._remaining(call)))
        waker = asyncio.ensure_future(flight.ended.wait())
        try:
            await asyncio.wait((sleeper, waker), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            waker.cancel()
        return flight.answer

    def _remaining(self, call: Call) -> float:
        """Seconds that are left to wait for another call's answer."""
        remaining = call.deadline - self._timing.monotonic()
        if remaining <= 0:
            raise UnansweredError("The deadline passed while another call was fetching the answer.", reason="deadline")
        return remaining

    async def _fill(self, key: str, value: bytes, flight: _Flight) -> bool:
        try:
            await self._store.cache_fill(key, value, self._settings.ttl_s, self._timing.clock())
        except StateUnavailableError as error:
            # The answer is in hand and paid for; only its copy is lost.
            _log.warning("an answer was not cached: %s", error)
            return False
        self._end(key, flight)
        return True

    async def _abandon(self, key: str, flight: _Flight | None = None, answer: CachedAnswer | None = None) -> None:
        try:
            await self._store.cache_abandon(key, self._owner)
        except StateUnavailableError as error:
            _log.warning("the lead of a cached request passes on only when its lease ends: %s", error)
        if flight is not None:
            self._end(key, flight, answer)

    def _end(self, key: str, flight: _Flight, answer: CachedAnswer | None = None) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        flight.answer = answer
        flight.ended.set()


def _hit(answer: CachedAnswer, call: Call, now: float) -> Completion:
    return Completion(
        text=answer.text,
        status="ok",
        call_id=call.call_id,
        model=answer.model,
        usage=answer.usage,
        cost_nano_usd=0,
        latency_s=call.latency_s(now),
        attempts=0,
        cached=True,
        origin_call_id=answer.call_id,
        origin_cost_nano_usd=answer.cost_nano_usd,
        origin_latency_s=answer.latency_s,
        finish_reason=answer.finish_reason,
    )
