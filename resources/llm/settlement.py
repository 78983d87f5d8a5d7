"""Settling attempts: exactly once each, whatever becomes of their callers, and later if the store is away."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from domain.errors import StateUnavailableError
from resources.llm.background import Background
from resources.llm.breaker_log import BreakerLog
from resources.llm.call import Timing
from resources.llm.events import AttemptFinished, Dispatcher, Overrun, ScopeFrozen, StateUnavailable
from resources.llm.outcomes import Outcome
from resources.llm.records import AttemptFacts, attempt_record
from resources.llm.state.protocol import Settlement, SettleResult, StateStore
from resources.llm.types import CallContext

_log = logging.getLogger(__name__)


class Settler:
    """Books how attempts ended and tells subscribers and waiting calls."""

    def __init__(
        self, store: StateStore, timing: Timing, background: Background, dispatcher: Dispatcher, breakers: BreakerLog
    ) -> None:
        self._store = store
        self._timing = timing
        self._background = background
        self._dispatcher = dispatcher
        self._breakers = breakers
        self._backlog: deque[Settlement] = deque()
        self._listeners: list[Callable[[str], None]] = []

    def on_settled(self, listener: Callable[[str], None]) -> None:
        """Call `listener(model)` after each settlement: budget or limiter may have room again."""
        self._listeners.append(listener)

    async def settle(self, facts: AttemptFacts, outcome: Outcome, context: CallContext, waited_s: float) -> None:
        """Book `outcome`. Goes on when the caller is cancelled meanwhile; never raises for an absent store."""
        await self._background.finish(lambda: self._settle(facts, outcome, context, waited_s))

    def settle_soon(self, facts: AttemptFacts, outcome: Outcome, context: CallContext) -> None:
        """Book `outcome` without waiting for it."""
        self._background.start(lambda: self._settle(facts, outcome, context, 0.0))

    async def catch_up(self) -> None:
        """Book what could not be booked while the store was away.

        Raises:
            StateUnavailableError: it still is.
        """
        while self._backlog:
            result = await self._store.settle(self._backlog[0], self._timing.clock())
            settlement = self._backlog.popleft()
            self._announce(settlement.attempt_id, result)

    async def _settle(self, facts: AttemptFacts, outcome: Outcome, context: CallContext, waited_s: float) -> None:
        now = self._timing.clock()
        ending = outcome.ending
        settlement = Settlement(
            attempt_id=facts.attempt_id,
            charge=ending.charge,
            cost_nano_usd=ending.cost_nano_usd,
            tokens_used=outcome.tokens_used,
            health=outcome.health,
            record=attempt_record(facts, ending, now),
            pause_s=outcome.pause_s,
        )
        try:
            result = await self._store.settle(settlement, now)
        except StateUnavailableError as error:
            # The intent is durable and keeps its reserve, so the cap holds until this is booked.
            self._backlog.append(settlement)
            self._dispatcher.emit(StateUnavailable(error.problem))
            result = SettleResult()
        self._tell(facts, outcome, context, waited_s, now)
        self._announce(facts.attempt_id, result)
        for listener in self._listeners:
            listener(facts.model)

    def _tell(
        self, facts: AttemptFacts, outcome: Outcome, context: CallContext, waited_s: float, finished_at: float
    ) -> None:
        ending = outcome.ending
        self._dispatcher.emit(
            AttemptFinished(
                attempt_id=facts.attempt_id,
                call_id=facts.call_id,
                number=facts.number,
                model=facts.model,
                purpose=context.purpose,
                task=context.task,
                scopes=facts.scopes,
                outcome=ending.outcome,
                charge=ending.charge,
                reserved_nano_usd=facts.reserve_nano_usd,
                cost_nano_usd=ending.cost_nano_usd,
                usage=ending.usage,
                provider_request_id=ending.provider_request_id,
                waited_s=waited_s,
                latency_s=ending.latency_s,
                started_at=facts.started_at,
                finished_at=finished_at,
            )
        )
        if ending.charge == "overrun":
            self._dispatcher.emit(
                Overrun(facts.attempt_id, facts.model, facts.scopes, facts.reserve_nano_usd, ending.cost_nano_usd)
            )

    def _announce(self, attempt_id: str, result: SettleResult) -> None:
        if result.breaker is not None:
            self._breakers.moved(result.breaker)
        for scope in result.frozen_scopes:
            _log.error("budget scope %s is frozen: attempt %s cost more than its reserve", scope, attempt_id)
            self._dispatcher.emit(ScopeFrozen(scope, attempt_id))
