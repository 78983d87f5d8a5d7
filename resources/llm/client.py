"""The client: one door for every LLM call, and for those who look after the guards."""

from __future__ import annotations

import asyncio
import logging
import random
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from domain.errors import InputError, PromptoryError, ProviderError, StateUnavailableError, UnansweredError
from domain.pricing import Usage, usd_to_nano
from resources.llm.budget_summary import BudgetLine, looked_at, summarise
from resources.llm.call import BATCH_PURPOSE, OPEN_LANE, Call, Lane, Layer
from resources.llm.call_checks import check_context, check_request
from resources.llm.events import CallFinished, Subscriber
from resources.llm.health import Health, Upkeep, judge, state_away
from resources.llm.ledger_rows import parse_record
from resources.llm.provider_batches import ProviderBatches
from resources.llm.scopes import check_cap, check_scope_name
from resources.llm.state.protocol import BreakerState, CacheStats, ScopeState
from resources.llm.types import CallContext, Completion, Request

if TYPE_CHECKING:
    from resources.llm.assembly import Core
    from resources.llm.settings import LimitSettings

_log = logging.getLogger(__name__)
_NO_USAGE = Usage()
_NO_CONTEXT = CallContext()


class LLMClient:
    """An open execution core. Made by `open_client`; used on the event loop that opened it."""

    def __init__(self, core: Core, layers: Layer) -> None:
        self._core = core
        self._layers = layers
        self._provider_batches = ProviderBatches(core)
        self._closed = False
        # Looked up once: every call needs them, and a cached answer takes no longer than a few such ways.
        self._clock, self._monotonic = core.timing.clock, core.timing.monotonic
        self._begun, self._emit = core.ledger.begun, core.dispatcher.emit
        self._default_deadline_s = core.settings.default_deadline_s
        self._batch_deadline_s = core.settings.batch_deadline_s
        self._sound_context = _NO_CONTEXT
        # Seeded by the system once: asking it for every id is a system call each.
        self._ids = random.Random(uuid.uuid4().int)  # noqa: S311 - ids need not be secret, only different

    async def complete(
        self, request: Request, context: CallContext = _NO_CONTEXT, *, lane: Lane = OPEN_LANE
    ) -> Completion:
        """Answer `request` within the guards; the call is recorded in the ledger however it ends.

        Args:
            lane: entered for as long as an attempt is at the provider. With a semaphore that many calls share, no more
                of them are there at once than it lets in, while others are admitted, settled and written down.

        Raises:
            InputError: request or context are malformed.
            ConfigurationError: no such provider, no price under a cap, no budget where one is required.
            ProviderError: the provider refuses the request itself (its class is not retryable).
            UnansweredError: no answer, and `context.allow_fallback` is False.
            StateUnavailableError: the guards cannot be asked, so nothing is sent.
        """
        if self._closed:
            raise PromptoryError("The client is closed.", mend="Make calls inside `open_client`.")
        check_request(request)
        if context is not self._sound_context:
            check_context(context)
            self._sound_context = context  # one context often serves many calls
        call = self._begin(request, context)
        call.lane = lane
        try:
            completion = await self._layers.complete(request, call)
        except BaseException as error:
            self._finish(call, None, *_failure(error))
            raise
        self._finish(call, completion, completion.status, completion.reason)
        return completion

    @property
    def provider_batches(self) -> ProviderBatches:
        """Providers' batch APIs, within the same budgets."""
        return self._provider_batches

    async def health(self) -> Health:
        """Breakers, limiters, budgets and cache now, and the overall state."""
        core = self._core
        now = core.timing.clock()
        upkeep = Upkeep(core.ledger.waiting_calls, core.heartbeat.failed_steps, core.heartbeat.failing)
        try:
            models, scopes, cache = (
                await core.store.models(now),
                await core.store.scopes(),
                await core.store.cache_stats(now),
            )
        except StateUnavailableError as error:
            return state_away(error.problem, upkeep)
        return judge(models, scopes, cache, upkeep, now, core.settings.zone)

    async def budgets(self) -> tuple[ScopeState, ...]:
        """All budget windows in which anything was ever reserved or booked.

        Raises:
            StateUnavailableError: the state store cannot be asked.
        """
        return tuple(await self._core.store.scopes())

    async def budget_summary(self) -> tuple[BudgetLine, ...]:
        """Per scope that is capped or was charged lately: cap, what is gone and left, and where the month is heading.

        Raises:
            StateUnavailableError: the state store cannot be asked.
            DatabaseUnavailableError: the ledger cannot be read.
        """
        core = self._core
        await core.ledger.flush()
        now, zone = core.timing.clock(), core.settings.zone
        states, caps = await core.store.scopes(), await core.store.caps()
        spends = await asyncio.to_thread(core.database.scope_spends, *looked_at(now, zone))
        return summarise(states, caps, spends, now, zone)

    async def set_cap(self, scope: str, usd: Decimal | None) -> None:
        """Cap `scope` (a name such as `day` or `run:<id>`), or lift its cap; binds all processes at once.

        Raises:
            InputError: not a scope name, or not an amount of USD.
            StateUnavailableError: the state store cannot be reached; nothing changed.
            DatabaseUnavailableError: the cap holds, but would be forgotten with the state store.
        """
        try:
            check_scope_name(scope)
        except ValueError as error:
            raise InputError(str(error), field="scope", mend="Correct the name.") from None
        try:
            usd = usd if usd is None else check_cap(usd)
        except ValueError as error:
            raise InputError(str(error), field="usd", mend="Give such an amount, or None to lift the cap.") from None
        nano = None if usd is None else usd_to_nano(usd)
        await self._core.store.set_cap(scope, nano)
        self._core.caps.changed(scope, capped=nano is not None)
        await asyncio.to_thread(self._core.database.put_cap, scope, nano, self._core.timing.clock())

    async def unfreeze(self, window: str) -> None:
        """Let a budget window frozen by an overrun (`day:2026-11-22`, `task:<name>`) admit again.

        Raises:
            StateUnavailableError: the state store cannot be reached.
        """
        await self._core.store.unfreeze(window)

    async def set_breaker(self, model: str, state: Literal["closed", "open"]) -> BreakerState:
        """Open or close a model's breaker by hand; where it was before.

        Raises:
            StateUnavailableError: the state store cannot be reached.
        """
        change = await self._core.store.set_breaker(model, state, self._core.timing.clock())
        if change is None:
            return state
        self._core.breakers.moved(change)
        return change.before

    async def clear_cache(self, namespace: str | None = None) -> int:
        """Drop all cached answers, or those of one namespace; how many there were.

        Raises:
            StateUnavailableError: the state store cannot be reached.
        """
        return await self._core.store.cache_clear(namespace)

    async def check_endpoints(self) -> None:
        """Reach every configured endpoint without generating anything.

        Raises:
            ProviderError: the first one that cannot be reached or refuses its key.
            ConfigurationError: an endpoint names no known provider.
        """
        await self._core.endpoints.check()

    async def endpoint_problems(self) -> dict[str, PromptoryError | None]:
        """For every configured endpoint what keeps it from being reached, or None; generates nothing."""
        problems: dict[str, PromptoryError | None] = {}
        for name in self._core.endpoints.names():
            try:
                await self._core.endpoints.check_one(name)
            except PromptoryError as error:
                problems[name] = error
            else:
                problems[name] = None
        return problems

    async def cache_stats(self, namespace: str | None = None) -> CacheStats:
        """Entries and bytes of the cache now, of all or one namespace; hits and misses since the state store was made.

        Raises:
            StateUnavailableError: the state store cannot be asked.
        """
        return await self._core.store.cache_stats(self._core.timing.clock(), namespace)

    async def flush(self) -> None:
        """Write every finished call and attempt to the ledger now, and raise the budget alarms that are due.

        Raises:
            DatabaseUnavailableError: the ledger's database is away; everything is kept.
            StateUnavailableError: the state store is away.
        """
        await self._core.background.drain()
        await self._core.ledger.flush()
        await self._core.watch.look()

    async def attempts_elsewhere(self, batch_id: str) -> int:
        """How many attempts that others made for a batch are open; those of the dead are booked first.

        On a state store of many machines the dead show by their silence only, for as long as `lease_s`.

        Raises:
            StateUnavailableError: the state store cannot be asked.
        """
        core = self._core
        await core.store.renew(core.owner, core.timing.clock())
        others = [record for owner, record in await core.store.open_attempts() if record and owner != core.owner]
        return sum(parse_record(record)["call"]["batch_id"] == batch_id for record in others)

    @property
    def lease_s(self) -> float:
        """Seconds of silence after which a process counts as dead."""
        return self._core.settings.lease_s

    def limits_of(self, model: str) -> tuple[LimitSettings, ...]:
        """The rate limits that calls of `model` may meet: its own and those of the models that stand in for it."""
        settings = self._core.settings
        models = (model, *settings.fallback.models.get(model, ()))
        return tuple(settings.limits[one] for one in models if one in settings.limits)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` with every later event, on the client's event loop; the returned function ends that."""
        return self._core.dispatcher.subscribe(subscriber)

    async def close(self) -> None:
        """Finish the settlements under way, write the ledger and release everything. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        core = self._core
        async with AsyncExitStack() as last_to_first:
            last_to_first.callback(core.database.dispose)
            last_to_first.push_async_callback(core.endpoints.close)
            last_to_first.push_async_callback(self._leave_store)
            last_to_first.push_async_callback(core.ledger.try_flush)
            last_to_first.push_async_callback(self._settle_late)
            last_to_first.push_async_callback(core.background.drain_all)
            await core.heartbeat.stop()

    async def _settle_late(self) -> None:
        try:
            await self._core.settler.catch_up()
        except StateUnavailableError:
            # A server that lost its data is given back what is open here: nobody else could ever book it.
            await self._core.heartbeat.beat()

    async def _leave_store(self) -> None:
        core = self._core
        try:
            await core.store.close(core.owner, core.timing.clock())
        except StateUnavailableError as error:
            _log.warning("the state store is away at the end; what is open is booked when it is next opened: %s", error)

    def _begin(self, request: Request, context: CallContext) -> Call:
        seconds = context.deadline_s
        if seconds is None:
            seconds = self._batch_deadline_s if context.purpose == BATCH_PURPOSE else self._default_deadline_s
        started_at, started = self._clock(), self._monotonic()
        # Ids in the order of time: a database takes keys that grow several times faster than random ones.
        call_id = f"{int(started_at * 1000) << 80 | self._ids.getrandbits(80):032x}"
        self._begun(call_id)
        return Call(context, call_id, request.model, started_at, started, started + seconds)

    def _finish(self, call: Call, completion: Completion | None, status: str, reason: str | None) -> None:
        self._emit(
            CallFinished(
                call_id=call.call_id,
                context=call.context,
                requested_model=call.requested_model,
                model=completion.model if completion and completion.status == "ok" else None,
                status=status,
                reason=reason,
                cached=completion.cached if completion else False,
                origin_call_id=completion.origin_call_id if completion else None,
                attempts=call.attempts,
                usage=completion.usage if completion else _NO_USAGE,
                cost_nano_usd=call.cost_nano_usd,
                latency_s=call.latency_s(self._monotonic()),
                started_at=call.started_at,
                finished_at=self._clock(),
            )
        )


def _failure(error: BaseException) -> tuple[str, str]:
    """Status and reason of a call that ended in `error`."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled", "cancelled"
    if isinstance(error, UnansweredError):
        return "error", error.reason
    if isinstance(error, ProviderError):
        return "error", error.fault.value
    return "error", type(error).__name__[:50]
