"""One attempt: quote, admission, the provider, settlement."""

from __future__ import annotations

import asyncio
from datetime import UTC, tzinfo

from domain.errors import ConfigurationError, FaultClass, InputError, ProviderError, UnansweredError
from resources.llm.admission import Admission, Draft
from resources.llm.breaker_log import BreakerLog
from resources.llm.call import Call, Timing
from resources.llm.endpoints import Endpoint, Endpoints
from resources.llm.outcomes import Outcome, answered, broken_off, failed, never_sent
from resources.llm.quotes import Quote, Quotes
from resources.llm.records import AttemptFacts, attempt_id_of, lineage_of
from resources.llm.scopes import expand_scopes
from resources.llm.settlement import Settler
from resources.llm.types import Completion, ProviderAnswer, Request

# A provider is given the time that is left and keeps it by itself; past this grace it is cut off.
_GRACE_S = 0.5


class AttemptLayer:
    """The innermost layer: each `complete` is one attempt, admitted and settled for itself."""

    def __init__(
        self,
        endpoints: Endpoints,
        quotes: Quotes,
        admission: Admission,
        settler: Settler,
        breakers: BreakerLog,
        timing: Timing,
        *,
        owner: str,
        rate_limit_pause_s: float,
        zone: tzinfo = UTC,
    ) -> None:
        self._endpoints = endpoints
        self._quotes = quotes
        self._admission = admission
        self._settler = settler
        self._breakers = breakers
        self._timing = timing
        self._owner = owner
        self._pause_s = rate_limit_pause_s
        self._zone = zone

    async def complete(self, request: Request, call: Call) -> Completion:
        """Make one attempt at `request`.

        Raises:
            ProviderError: it failed.
            UnansweredError: it was not let through, or the time is over.
            ConfigurationError: no such provider, settings that it cannot work with, no price under a cap, or a request
                no limit could let through.
            InputError: the model does not name a provider.
            StateUnavailableError: the guards cannot be asked.
        """
        endpoint = self._endpoints.of(request.model)
        bound = endpoint.provider.input_token_bound(request)
        quote = await self._quotes.quote(request, bound, call.context.scopes)
        asked_at = self._timing.monotonic()
        facts = await self._admission.admit(self._draft(request, call, quote))
        call.attempts += 1
        openings = self._breakers.openings(request.model)
        admitted_at = sent_at = self._timing.monotonic()
        in_lane = False
        outcome: Outcome | None = None
        try:
            async with call.lane:
                sent_at, in_lane = self._timing.monotonic(), True
                call.lane_wait_s += sent_at - admitted_at
                self._require_unopened(request.model, openings)
                answer = await self._exchange(endpoint, request, call, sent_at)
            outcome = answered(facts, quote.price, answer, self._timing.monotonic() - sent_at)
        except UnansweredError as error:
            outcome = never_sent(error.reason)
            raise
        except (ConfigurationError, InputError):
            # A provider raises these before a byte leaves, or not at all.
            outcome = never_sent(FaultClass.INVALID_REQUEST.value)
            raise
        except ProviderError as error:
            error.name_endpoint(request.model.partition("/")[0])
            outcome = failed(facts, error, self._timing.monotonic() - sent_at, self._pause_s)
            raise
        except asyncio.CancelledError:
            seconds = self._timing.monotonic() - sent_at
            outcome = broken_off(facts, "cancelled", seconds) if in_lane else never_sent("cancelled")
            raise
        finally:
            if outcome is None:
                outcome = broken_off(facts, "crashed", self._timing.monotonic() - sent_at)
            call.cost_nano_usd += outcome.ending.cost_nano_usd
            await self._settler.settle(facts, outcome, call.context, admitted_at - asked_at)
        return _completion(request, call, answer, outcome, call.latency_s(self._timing.monotonic()))

    def _require_unopened(self, model: str, openings: int) -> None:
        """Who was admitted and then waited for others in its lane is not let off what these have shown meanwhile."""
        if self._breakers.openings(model) != openings:
            raise UnansweredError("The circuit breaker opened before the call could be sent.", reason="circuit_open")

    async def _exchange(self, endpoint: Endpoint, request: Request, call: Call, now: float) -> ProviderAnswer:
        seconds = min(endpoint.timeout_s, call.deadline - now)
        if seconds <= 0:
            raise UnansweredError("The call's deadline passed before it could be sent.", reason="deadline")
        if not endpoint.watched:
            return await endpoint.provider.send(request, seconds)
        try:
            async with asyncio.timeout(seconds + _GRACE_S):
                return await endpoint.provider.send(request, seconds)
        except TimeoutError:
            raise ProviderError(f"No answer within {seconds:.3g} s.", fault=FaultClass.TIMEOUT) from None

    def _draft(self, request: Request, call: Call, quote: Quote) -> Draft:
        number = call.attempts + 1
        attempt_id = attempt_id_of(call.call_id, number)
        lineage = lineage_of(call.call_id, call.requested_model, call.context, call.started_at)

        def facts_at(now: float) -> AttemptFacts:
            return AttemptFacts(
                attempt_id=attempt_id,
                call_id=call.call_id,
                number=number,
                model=request.model,
                scopes=expand_scopes(call.context.scopes, now, self._zone),
                reserve_nano_usd=quote.reserve_nano_usd,
                reserve_tokens=(quote.input_tokens, quote.output_tokens),
                price=quote.price_record,
                owner=self._owner,
                started_at=now,
                lineage=lineage,
            )

        return Draft(facts_at, quote.tokens, call)


def _completion(request: Request, call: Call, answer: ProviderAnswer, outcome: Outcome, latency_s: float) -> Completion:
    return Completion(
        text=answer.text,
        status="ok",
        call_id=call.call_id,
        model=request.model,
        usage=answer.usage,
        cost_nano_usd=call.cost_nano_usd,
        latency_s=latency_s,
        attempts=call.attempts,
        origin_cost_nano_usd=call.cost_nano_usd,
        origin_latency_s=outcome.ending.latency_s,
        finish_reason=answer.finish_reason,
    )
