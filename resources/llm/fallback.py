"""When the asked model does not answer: other models first, then a canned text, then a plain admission."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import cast

from domain.errors import ConfigurationError, FaultClass, InputError, ProviderError, UnansweredError
from domain.pricing import Usage
from resources.llm.call import Call, Layer, Timing
from resources.llm.types import Completion, FallbackReason, Request

_log = logging.getLogger(__name__)


class ModelsLayer:
    """Tries the asked model, then those configured to stand in for it."""

    def __init__(self, inner: Layer, others: Mapping[str, Sequence[str]], timing: Timing) -> None:
        self._inner = inner
        self._others = others
        self._timing = timing

    async def complete(self, request: Request, call: Call) -> Completion:
        """The answer of the first model that gives one. What is wrong with a stand-in is not the caller's error.

        Raises:
            ProviderError: the asked model's own (bad request, bad key, refused content); no other model is asked.
            ConfigurationError: the asked model cannot be used as things are set.
            InputError: its name or the request is not usable.
            UnansweredError: no model answered; `reason` is the asked model's.
            StateUnavailableError: the guards cannot be asked.
        """
        first: UnansweredError | None = None
        others = self._others.get(request.model, ()) if call.context.allow_fallback else ()
        for model in (request.model, *others):
            try:
                return await self._inner.complete(replace(request, model=model) if first else request, call)
            except UnansweredError as error:
                first = first or error
            except ProviderError as error:
                if first is None and not error.rule.retryable:
                    raise
                first = first or self._unanswered(error, call)
            except (ConfigurationError, InputError) as error:
                if first is None:
                    raise
                _log.warning("%s cannot stand in for %s: %s", model, request.model, error)
        raise cast(UnansweredError, first)

    def _unanswered(self, error: ProviderError, call: Call) -> UnansweredError:
        out_of_time = error.fault is FaultClass.TIMEOUT and self._timing.monotonic() >= call.deadline
        reason: FallbackReason = "deadline" if out_of_time else "provider_error"
        unanswered = UnansweredError(error.problem, reason=reason)
        unanswered.__cause__ = error
        return unanswered


class LastResortLayer:
    """Turns "no model answered" into a completion that says so; outside the cache, so that none is ever stored."""

    def __init__(self, inner: Layer, canned: Mapping[str, str], timing: Timing) -> None:
        self._inner = inner
        self._canned = canned
        self._timing = timing

    async def complete(self, request: Request, call: Call) -> Completion:
        """A model's answer, or a completion of status `fallback` with the family's canned text (else none).

        Raises:
            UnansweredError: no model answered and the call must not fall back.
            ProviderError: the caller's own error.
            StateUnavailableError: the guards cannot be asked.
        """
        try:
            return await self._inner.complete(request, call)
        except UnansweredError as error:
            if not call.context.allow_fallback:
                raise
            return self._fallback(request, call, cast(FallbackReason, error.reason))

    def _fallback(self, request: Request, call: Call, reason: FallbackReason) -> Completion:
        return Completion(
            text=self._canned.get(call.context.prompt_family or "", ""),
            status="fallback",
            call_id=call.call_id,
            model=request.model,
            usage=Usage(),
            cost_nano_usd=call.cost_nano_usd,
            latency_s=call.latency_s(self._timing.monotonic()),
            attempts=call.attempts,
            reason=reason,
            origin_cost_nano_usd=call.cost_nano_usd,
            finish_reason="other",
        )
