"""From what a job brought to the ledger's lines and the rows' answers."""

from __future__ import annotations

from dataclasses import dataclass, field

from domain.batch.outcome import RowOutcome, judge_answer
from domain.batch.provider_jobs import PROVIDER_BATCH_PURPOSE, RowReserve, call_id_of
from domain.batch.states import RowStatus
from domain.contracts import OutputContract
from domain.errors import FaultClass
from domain.pricing import ModelPrice, Usage, cost_nano_usd
from resources.database.repositories.provider_jobs import ProviderJob
from resources.llm.batch_api import JobStatus, LineResult
from resources.llm.events import AttemptFinished, CallFinished, Event
from resources.llm.ledger_rows import Row, attempt_row, call_row, parse_record
from resources.llm.records import LOST, AttemptFacts, Ending, attempt_id_of, attempt_record
from resources.llm.types import CallContext

_OURS_TO_ASK_AGAIN = frozenset({FaultClass.SERVER, FaultClass.RATE_LIMITED, FaultClass.TIMEOUT, FaultClass.CONNECTION})


@dataclass(frozen=True, slots=True)
class JobLineage:
    """What the ledger's lines of a job name beside the row."""

    prompt_version_id: str | None
    step: str
    run_id: str | None


@dataclass(slots=True)
class Settled:
    """What a job came to.

    Attributes:
        cost_nano_usd: billed for certain.
        lost_nano_usd: reserves of requests whose bill is unknown.
        open_lost: some of those have no answer, so that they will be asked again.
        events: what subscribers are told, once it is booked.
        outcomes: rows that have an answer now, or none that asking again could bring.
    """

    calls: list[Row] = field(default_factory=list[Row])
    attempts: list[Row] = field(default_factory=list[Row])
    outcomes: list[tuple[int, RowOutcome]] = field(default_factory=list[tuple[int, RowOutcome]])
    events: list[Event] = field(default_factory=list[Event])
    cost_nano_usd: int = 0
    lost_nano_usd: int = 0
    overrun: bool = False
    open_lost: bool = False


def settle_lines(
    job: ProviderJob,
    status: JobStatus,
    results: list[LineResult],
    contract: OutputContract,
    lineage: JobLineage,
    now: float,
) -> Settled:
    """The job's lines for the ledger and its answers; the same results give the same lines.

    Answered requests cost what the provider counted; refused and untried ones are free. A request of which nothing came
    back is free where the job was cut short, or where the provider counts no more answers than it gave; else its whole
    reserve is kept as ambiguous.
    """
    by_id: dict[str, LineResult] = {}
    for result in results:
        by_id.setdefault(result.custom_id, result)
    answered = sum(result.answer is not None for result in by_id.values())
    complete = status.cut_short or status.failed or (status.counts is not None and status.counts.completed <= answered)
    booking = _Booking(job, contract, lineage, now)
    for reserve in job.reserves:
        result = by_id.get(booking.call_id(reserve))
        if result is None and not complete:
            booking.lost(reserve)
        elif result is not None and not result.untried:
            booking.line(reserve, result)
    return booking.settled


def all_lost(job: ProviderJob, contract: OutputContract, lineage: JobLineage, now: float) -> Settled:
    """Every request of a job that nobody will ever hear of again: each keeps its reserve as ambiguous."""
    booking = _Booking(job, contract, lineage, now)
    for reserve in job.reserves:
        booking.lost(reserve)
    return booking.settled


class _Booking:
    def __init__(self, job: ProviderJob, contract: OutputContract, lineage: JobLineage, now: float) -> None:
        self.settled = Settled()
        self._job = job
        self._contract = contract
        self._lineage = lineage
        self._now = now
        self._price = None if job.price is None else ModelPrice.model_validate(job.price)
        self._began = job.created_at.timestamp()
        self._latency_s = max(0.0, now - self._began)

    def call_id(self, reserve: RowReserve) -> str:
        return call_id_of(self._job.id, reserve.row, self._began)

    def lost(self, reserve: RowReserve) -> None:
        ending = Ending(LOST, "ambiguous", reserve.reserve_nano_usd, latency_s=self._latency_s)
        self._book(reserve, ending, LOST, "no_result", None)
        self.settled.open_lost = True

    def line(self, reserve: RowReserve, result: LineResult) -> None:
        if result.answer is None:
            self._refused(reserve, result)
            return
        answer, price = result.answer, self._price
        cost = cost_nano_usd(price, answer.usage) if price else 0
        charge = "overrun" if cost > reserve.reserve_nano_usd else "settled"
        if answer.usage_estimated and price is not None:
            cost, charge = reserve.reserve_nano_usd, "ambiguous"
        ending = Ending("ok", charge, cost, answer.usage, answer.provider_request_id, self._latency_s)
        call_id = self._book(reserve, ending, "ok", None, self._job.model)
        status, reason, value = judge_answer(self._contract, answer.text)
        outcome = RowOutcome(
            status=status,
            reason=reason,
            text=answer.text,
            value=value,
            call_id=call_id,
            call_ids=(call_id,),
            model=self._job.model,
            cost_nano_usd=cost,
            input_tokens=answer.usage.input_tokens,
            output_tokens=answer.usage.output_tokens,
            latency_s=round(self._latency_s, 6),
        )
        self.settled.outcomes.append((reserve.row, outcome))

    def _refused(self, reserve: RowReserve, result: LineResult) -> None:
        error = result.error
        fault = FaultClass.SERVER if error is None else error.fault
        # The provider ran the model and gave something that is no answer: what it billed is unknown.
        unknown = fault is FaultClass.MALFORMED
        cost = reserve.reserve_nano_usd if unknown else 0
        ending = Ending(fault.value, "ambiguous" if unknown else "free", cost, latency_s=self._latency_s)
        call_id = self._book(reserve, ending, "error", fault.value, None)
        if fault in _OURS_TO_ASK_AGAIN:
            return
        reason = f"{fault}: {error.problem}" if error else fault.value
        outcome = RowOutcome(RowStatus.FAILED, reason, call_id=call_id, call_ids=(call_id,), cost_nano_usd=cost)
        self.settled.outcomes.append((reserve.row, outcome))

    def _book(self, reserve: RowReserve, ending: Ending, status: str, reason: str | None, model: str | None) -> str:
        job, call_id = self._job, self.call_id(reserve)
        facts = AttemptFacts(
            attempt_id=attempt_id_of(call_id, 1),
            call_id=call_id,
            number=1,
            model=job.model,
            scopes=tuple(job.scopes),
            reserve_nano_usd=reserve.reserve_nano_usd,
            reserve_tokens=(reserve.input_tokens, reserve.output_tokens),
            price=job.price,
            owner=job.id,
            started_at=self._began,
            lineage={},
        )
        settled = self.settled
        call = self._call(call_id, reserve, ending, status, reason, model)
        settled.attempts.append(attempt_row(parse_record(attempt_record(facts, ending, self._now))))
        settled.calls.append(call_row(call))
        settled.events += (self._attempt(facts, ending), call)
        if ending.charge == "ambiguous":
            settled.lost_nano_usd += ending.cost_nano_usd
        else:
            settled.cost_nano_usd += ending.cost_nano_usd
        settled.overrun |= ending.charge == "overrun"
        return call_id

    def _call(
        self, call_id: str, reserve: RowReserve, ending: Ending, status: str, reason: str | None, model: str | None
    ) -> CallFinished:
        job, lineage = self._job, self._lineage
        return CallFinished(
            call_id=call_id,
            context=CallContext(
                purpose=PROVIDER_BATCH_PURPOSE,
                task=job.task,
                prompt_version_id=lineage.prompt_version_id,
                step=lineage.step,
                row_id=str(reserve.row),
                run_id=lineage.run_id,
                batch_id=job.batch_id,
            ),
            requested_model=job.model,
            model=model,
            status=status,
            reason=reason,
            cached=False,
            origin_call_id=None,
            attempts=1,
            usage=ending.usage if ending.outcome == "ok" else Usage(),
            cost_nano_usd=ending.cost_nano_usd,
            latency_s=self._latency_s,
            started_at=self._began,
            finished_at=self._now,
        )

    def _attempt(self, facts: AttemptFacts, ending: Ending) -> AttemptFinished:
        return AttemptFinished(
            attempt_id=facts.attempt_id,
            call_id=facts.call_id,
            number=facts.number,
            model=facts.model,
            purpose=PROVIDER_BATCH_PURPOSE,
            task=self._job.task,
            scopes=facts.scopes,
            outcome=ending.outcome,
            charge=ending.charge,
            reserved_nano_usd=facts.reserve_nano_usd,
            cost_nano_usd=ending.cost_nano_usd,
            usage=ending.usage,
            provider_request_id=ending.provider_request_id,
            waited_s=0.0,
            latency_s=ending.latency_s,
            started_at=facts.started_at,
            finished_at=self._now,
        )
