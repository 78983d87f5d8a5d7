"""Answering rows one by one through the execution core."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import lru_cache, partial

from domain.batch.outcome import RowOutcome, judge_answer
from domain.batch.rows import InputRow
from domain.batch.states import PauseKind, RowStatus
from domain.errors import (
    ConfigurationError,
    FaultClass,
    InputError,
    PromptoryError,
    ProviderError,
    UnansweredError,
)
from domain.prompt import PromptVersion
from resources.batch_inference.answering import ChunkEnd, ChunkWork, Slots, batch_scopes
from resources.batch_inference.lanes import InLane, may_be_late
from resources.batch_inference.outage import Outage, Sleep
from resources.batch_inference.stopping import Stop
from resources.evaluation.prompt_runner import PromptRunner
from resources.llm.call import BATCH_PURPOSE
from resources.llm.client import LLMClient
from resources.llm.events import CallFinished, Event
from resources.llm.types import CallContext, Completion

BUDGET_EXHAUSTED = "budget_exhausted"
WAITED_OUT = (BUDGET_EXHAUSTED, "circuit_open", "rate_limited")


class DirectAnswerer:
    """Asks the core, `slots` rows at once.

    Args:
        run_id: the Dagster run the calls belong to, if any.
    """

    def __init__(
        self, llm: LLMClient, slots: Slots, *, run_id: str | None = None, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._llm = llm
        self._slots = slots
        self._run_id = run_id
        self._calls = _RowCalls()
        self._limits: dict[str, asyncio.Semaphore] = {}
        self._outage = lru_cache(maxsize=100)(lambda _model: Outage(sleep))
        llm.subscribe(self._calls.on_event)

    async def answer(self, work: ChunkWork) -> ChunkEnd:
        """Answer the rows; each is kept before another is taken up in its place.

        Raises:
            PromptoryError: an answer cannot be kept.
        """
        slots, own = self._slots, self._own_limit(work)
        asking = _Asking(self._runner(work), work.prompt, self._outage(work.prompt.model), self._calls, work)

        async def worker() -> None:
            while work.rows and not work.stop.requested:
                async with own, slots.rows:
                    row = work.take()
                    outcome = None if row is None else await asking.outcome(row)
                    if row is not None and outcome is not None:
                        await work.keep(row, outcome)

        workers = [asyncio.create_task(worker()) for _ in range(min(slots.most_rows, len(work.rows)))]
        try:
            await _all(workers, work.stop)
        finally:
            work.exhausted.set()
        return ChunkEnd.STOPPED if work.stop.requested else ChunkEnd.ANSWERED

    def _own_limit(self, work: ChunkWork) -> AbstractAsyncContextManager[None]:
        """Of a batch that wants fewer rows under way than its worker, over all its chunks."""
        wanted = work.batch.settings.concurrency
        if wanted >= self._slots.concurrency:
            return nullcontext()
        return self._limits.setdefault(work.batch.id, asyncio.Semaphore(wanted))

    def _runner(self, work: ChunkWork) -> PromptRunner:
        batch, options = work.batch, work.batch.settings
        context = CallContext(
            purpose=BATCH_PURPOSE,
            task=batch.task,
            scopes=batch_scopes(batch),
            batch_id=batch.id,
            run_id=self._run_id,
            prompt_family=batch.task,
            cache=options.cache_use(batch.rows),
        )
        # The first asking is the request that serving sends. Only a further draw may differ from what a cache holds.
        sample = work.chunk.round or None
        limits = self._llm.limits_of(work.prompt.model)
        late = all(may_be_late(one, self._slots.most_waiting) for one in limits)
        llm = InLane(self._llm, self._slots.calls, admitted_first=late)
        return PromptRunner(llm, work.prompt, context, sample, allow_fallback=options.allow_fallback)


async def _all(workers: list[asyncio.Task[None]], stop: Stop) -> None:
    """Wait for all workers. The first error stops them, and is raised when what they have under way is kept."""
    first: PromptoryError | None = None
    try:
        for done in asyncio.as_completed(workers):
            try:
                await done
            except PromptoryError as error:
                stop.fail(error)
                first = first or error
    except BaseException:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        raise
    if first is not None:
        raise first


class _Asking:
    """One chunk's rows, asked with one prompt."""

    def __init__(
        self, runner: PromptRunner, prompt: PromptVersion, outage: Outage, calls: _RowCalls, work: ChunkWork
    ) -> None:
        self._runner = runner
        self._contract = prompt.steps[-1].output
        self._outage = outage
        self._calls = calls
        self._work = work

    async def outcome(self, row: InputRow) -> RowOutcome | None:
        """What became of the row; None where work stopped before it was answered."""
        stop, row_id = self._work.stop, str(row.number)
        try:
            asked = await self._outage.ask(partial(self._ask, row_id, row.inputs), stop)
        except UnansweredError as error:
            if error.reason == BUDGET_EXHAUSTED:
                stop.pause(PauseKind.BUDGET, error.problem)
                return None
            return self._failure(row_id, f"{error.reason}: {error.problem}")
        except ProviderError as error:
            if error.fault is FaultClass.AUTHENTICATION:
                stop.pause(PauseKind.REFUSED, str(error))
                return None
            return self._failure(row_id, f"{error.fault}: {error.problem}")
        except ConfigurationError as error:
            stop.pause(PauseKind.REFUSED, str(error))
            return None
        except InputError as error:
            return self._failure(row_id, error.problem)
        if asked is None:
            return None
        completions, broken_step = asked
        return self._answered(row_id, completions, broken_step)

    async def _ask(self, row_id: str, inputs: Mapping[str, str]) -> tuple[list[Completion], str | None]:
        completions, broken_step = await self._runner.ask(row_id, inputs)
        last = completions[-1]
        if last.status == "fallback" and last.reason in WAITED_OUT:
            # A canned text for every row, because a budget is spent or a breaker open, is not what anybody wants.
            raise UnansweredError("A canned text stood in for the model.", reason=last.reason)
        return completions, broken_step

    def _failure(self, row_id: str, reason: str) -> RowOutcome:
        call_ids, cost = self._calls.take(self._work.batch.id, row_id)
        return RowOutcome(
            RowStatus.FAILED,
            reason,
            call_id=call_ids[-1] if call_ids else None,
            call_ids=call_ids,
            cost_nano_usd=cost,
        )

    def _answered(self, row_id: str, completions: list[Completion], broken_step: str | None) -> RowOutcome:
        last = completions[-1]
        if last.status == "fallback":
            status, reason, value = RowStatus.FALLBACK, last.reason, None
        elif broken_step is not None:
            status, reason, value = RowStatus.INVALID, f"the answer of step {broken_step} breaks its contract", None
        else:
            status, reason, value = judge_answer(self._contract, last.text)
        call_ids, cost = self._calls.take(self._work.batch.id, row_id)
        return RowOutcome(
            status=status,
            reason=reason,
            text=last.text,
            value=value,
            call_id=last.call_id,
            call_ids=call_ids,
            model=last.model,
            cost_nano_usd=cost,
            input_tokens=sum(one.usage.input_tokens for one in completions),
            output_tokens=sum(one.usage.output_tokens for one in completions),
            latency_s=round(sum(one.latency_s for one in completions), 6),
            cached=all(one.cached for one in completions),
        )


class _RowCalls:
    """Ids and cost of all calls made for a row: an error does not carry them, and an outage may take several calls."""

    def __init__(self) -> None:
        self._calls: dict[tuple[str, str], list[tuple[str, int]]] = {}

    def on_event(self, event: Event) -> None:
        """Remember a finished call of a batch's row, but for those of jobs, which are collected otherwise."""
        if isinstance(event, CallFinished) and event.context.purpose == BATCH_PURPOSE:
            key = (event.context.batch_id or "", event.context.row_id or "")
            self._calls.setdefault(key, []).append((event.call_id, event.cost_nano_usd))

    def take(self, batch_id: str, row_id: str) -> tuple[tuple[str, ...], int]:
        """The row's calls and the sum charged for them, forgotten from now on."""
        calls = self._calls.pop((batch_id, row_id), ())
        return tuple(call_id for call_id, _ in calls), sum(cost for _, cost in calls)
