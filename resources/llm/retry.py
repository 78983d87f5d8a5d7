"""Further attempts at the same model, after jittered pauses, inside the call's one deadline."""

from __future__ import annotations

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from domain.errors import ProviderError
from resources.llm.call import Call, Layer, Timing
from resources.llm.settings import RetrySettings
from resources.llm.types import Completion, Request


class RetryLayer:
    """Repeats what `FAULT_RULES` calls retryable; each attempt asks all guards for itself."""

    def __init__(self, inner: Layer, settings: RetrySettings, timing: Timing) -> None:
        self._inner = inner
        self._settings = settings
        self._timing = timing

    async def complete(self, request: Request, call: Call) -> Completion:
        """The first answer of up to `max_attempts` attempts.

        Raises:
            ProviderError: the last attempt's, when none answered.
            UnansweredError: an attempt was not let through.
            StateUnavailableError: the guards cannot be asked.
        """

        try:
            return await self._inner.complete(request, call)
        except ProviderError as error:
            if not _worth_repeating(error):
                raise
            failed_first = error
        return await self._repeat(request, call, failed_first)

    async def _repeat(self, request: Request, call: Call, failed_first: ProviderError) -> Completion:
        """Hand over to tenacity, which is asked only now: it costs more than all other layers together."""
        failed: list[ProviderError] = [failed_first]

        async def attempt() -> Completion:
            if failed:
                raise failed.pop()
            return await self._inner.complete(request, call)

        def no_more(state: RetryCallState) -> bool:
            too_late = self._timing.monotonic() + state.upcoming_sleep >= call.deadline
            return state.attempt_number >= self._settings.max_attempts or too_late

        # One object per call: tenacity keeps the state of an iteration in it, and calls are concurrent.
        retrying = AsyncRetrying(
            sleep=self._timing.sleep,
            stop=no_more,
            wait=self._backoff,
            retry=retry_if_exception(_worth_repeating),
            reraise=True,
        )
        return await retrying(attempt)

    def _backoff(self, state: RetryCallState) -> float:
        """Full jitter: callers that failed together must not come back together."""
        ceiling = self._settings.first_backoff_s * 2 ** (state.attempt_number - 1)
        return self._timing.rng.uniform(0.0, min(ceiling, self._settings.max_backoff_s))


def _worth_repeating(error: BaseException) -> bool:
    return isinstance(error, ProviderError) and error.rule.retryable
