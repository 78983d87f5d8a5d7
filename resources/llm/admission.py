"""Getting an attempt admitted: asking the store, and waiting in line when the answer is "not now"."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from dataclasses import dataclass

from domain.errors import UnansweredError
from resources.llm.background import Background
from resources.llm.breaker_log import BreakerLog
from resources.llm.call import BATCH_PURPOSE, Call, Timing
from resources.llm.lines import Line, Place
from resources.llm.outcomes import never_sent
from resources.llm.records import AttemptFacts, lost_record
from resources.llm.restore import Restoration
from resources.llm.settlement import Settler
from resources.llm.state.protocol import Admitted, Intent, Refused, StateStore, Verdict, Wait, WaitCause
from resources.llm.types import FallbackReason

_REASONS: dict[WaitCause, FallbackReason] = {
    "rate_limited": "rate_limited",
    "budget_held": "budget_exhausted",
    "probe_in_flight": "circuit_open",
}


@dataclass(slots=True)
class Draft:
    """An attempt that asks for admission. `facts_at(now)` places it in the budget windows of that moment."""

    facts_at: Callable[[float], AttemptFacts]
    tokens: int
    call: Call


@dataclass(slots=True)
class _Asked:
    """The facts as last put to the store, and what it said."""

    facts: AttemptFacts
    verdict: Verdict


class Admission:
    """Admits attempts; those that must wait queue per model (limiter, probe) or per set of scopes (budget)."""

    def __init__(
        self,
        store: StateStore,
        timing: Timing,
        background: Background,
        settler: Settler,
        breakers: BreakerLog,
        restoration: Restoration,
        *,
        max_wait_s: float,
        on_refused: Callable[[AttemptFacts], None],
    ) -> None:
        self._store = store
        self._timing = timing
        self._background = background
        self._settler = settler
        self._breakers = breakers
        self._restoration = restoration
        self._max_wait_s = max_wait_s
        self._on_refused = on_refused
        self._model_lines: dict[str, Line] = {}
        self._scope_lines: dict[tuple[str, ...], Line] = {}
        self._arrivals = itertools.count()
        settler.on_settled(self.wake)

    async def admit(self, draft: Draft) -> AttemptFacts:
        """The attempt's facts, once its reserve is held and its intent is durable.

        Raises:
            UnansweredError: refused, or the wait is over; `reason` says why.
            StateUnavailableError: the store cannot be asked.
        """
        asked = None if self._others_wait_before(draft) else await self._ask(draft)
        if asked is None or isinstance(asked.verdict, Wait):
            asked = await self._queue(draft, asked)
        if isinstance(asked.verdict, Admitted):
            if asked.verdict.probe:
                self._breakers.probing(asked.facts.model)
            return asked.facts
        raise self._refusal(asked)

    def wake(self, model: str) -> None:
        """Something was settled: those at the head of a line may fit now."""
        if (line := self._model_lines.get(model)) is not None:
            line.nudge()
        for line in self._scope_lines.values():
            line.nudge()

    def _others_wait_before(self, draft: Draft) -> bool:
        if not self._model_lines and not self._scope_lines:
            return False
        facts = draft.facts_at(self._timing.clock())
        return facts.model in self._model_lines or facts.scopes in self._scope_lines

    async def _queue(self, draft: Draft, asked: _Asked | None) -> _Asked:
        arrival = next(self._arrivals)
        facts = draft.facts_at(self._timing.clock())
        cause: WaitCause = "budget_held" if facts.scopes in self._scope_lines else "rate_limited"
        pause = 0.0
        while True:
            if asked is not None:
                if not isinstance(asked.verdict, Wait):
                    return asked
                cause, pause, facts = asked.verdict.cause, asked.verdict.seconds, asked.facts
            asked = await self._stand(draft, facts, cause, pause, arrival)

    async def _stand(self, draft: Draft, facts: AttemptFacts, cause: WaitCause, pause: float, arrival: int) -> _Asked:
        """Wait in the line of `cause` until the store says something else than to wait there."""
        line, remove_if_empty = self._line(facts, cause)
        context = draft.call.context
        place = Place(arrival, context.task, context.priority == "high")
        until = self._until(draft.call, cause)
        line.join(place)
        served = False
        try:
            while True:
                if until <= self._timing.monotonic():
                    raise self._waited_too_long(cause)
                if pause <= 0 and line.head() is place:
                    place.turn.clear()
                    asked = await self._ask(draft)
                    if not isinstance(asked.verdict, Wait) or _another_line(facts, cause, asked):
                        served = isinstance(asked.verdict, Admitted)
                        return asked
                    cause, pause = asked.verdict.cause, asked.verdict.seconds
                remaining = max(0.0, until - self._timing.monotonic())
                await self._rest(place, min(pause, remaining) if line.head() is place else remaining)
                pause = 0.0
        finally:
            line.leave(place, served=served)
            if line.head() is None:
                remove_if_empty()

    async def _rest(self, place: Place, seconds: float) -> None:
        """Until `seconds` are over or it is worth asking again."""
        sleeper = asyncio.ensure_future(self._timing.sleep(seconds))
        waker = asyncio.ensure_future(place.turn.wait())
        try:
            await asyncio.wait((sleeper, waker), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            waker.cancel()
            place.turn.clear()

    async def _ask(self, draft: Draft) -> _Asked:
        call = draft.call
        if call.deadline <= self._timing.monotonic():
            raise UnansweredError("The call's deadline passed before it could be sent.", reason="deadline")
        self._restoration.require_complete()
        now = self._timing.clock()
        facts = draft.facts_at(now)
        intent = Intent(
            attempt_id=facts.attempt_id,
            model=facts.model,
            scopes=facts.scopes,
            reserve_nano_usd=facts.reserve_nano_usd,
            tokens=draft.tokens,
            owner=facts.owner,
            record=lost_record(facts),
        )

        def give_back(verdict: Verdict) -> None:
            if isinstance(verdict, Admitted):
                self._settler.settle_soon(facts, never_sent("cancelled"), call.context)

        verdict = await self._background.undoable(lambda: self._store.admit(intent, now), give_back, repeatable=True)
        return _Asked(facts, verdict)

    def _line(self, facts: AttemptFacts, cause: WaitCause) -> tuple[Line, Callable[[], None]]:
        if cause == "budget_held":
            scopes = facts.scopes
            return self._scope_lines.setdefault(scopes, Line()), lambda: _forget(self._scope_lines, scopes)
        model = facts.model
        return self._model_lines.setdefault(model, Line()), lambda: _forget(self._model_lines, model)

    def _until(self, call: Call, cause: WaitCause) -> float:
        if cause == "budget_held" or call.context.purpose == BATCH_PURPOSE:
            return call.deadline
        return min(call.deadline, self._timing.monotonic() + self._max_wait_s)

    def _refusal(self, asked: _Asked) -> UnansweredError:
        verdict = asked.verdict
        if not isinstance(verdict, Refused):  # pragma: no cover - `admit` sees to the other verdicts
            raise TypeError(verdict)
        if verdict.reason == "budget_exhausted":
            self._on_refused(asked.facts)
        return UnansweredError(verdict.detail, reason=verdict.reason)

    @staticmethod
    def _waited_too_long(cause: WaitCause) -> UnansweredError:
        return UnansweredError(f"The call waited too long ({cause}).", reason=_REASONS[cause])


def _another_line(facts: AttemptFacts, cause: WaitCause, asked: _Asked) -> bool:
    """Whether the store now names a wait that has a line of its own (or the budget windows moved on)."""
    if not isinstance(asked.verdict, Wait):
        return False
    was_budget, is_budget = cause == "budget_held", asked.verdict.cause == "budget_held"
    return was_budget != is_budget or (is_budget and asked.facts.scopes != facts.scopes)


def _forget(lines: dict, key: object) -> None:
    if (line := lines.get(key)) is not None and line.head() is None:
        del lines[key]
