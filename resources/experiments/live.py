"""The Python API of live experiments: assign a unit, answer it, record what came of it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from domain.dataset import Row, make_row, normalise_text
from domain.errors import ConflictError, InputError, NotFoundError
from domain.experiment.allocation import LONGEST_UNIT_ID
from domain.prompt import PromptVersion
from domain.task import Task
from resources.database.repositories import interactions
from resources.database.repositories.interactions import InteractionRecord
from resources.database.repositories.outcomes import OutcomeRecord
from resources.database.session import Database
from resources.evaluation.prompt_runner import Completer, PromptRunner
from resources.experiments.known import Known
from resources.experiments.recording import check_outcome, outcome_key, record_outcomes
from resources.experiments.started import Started
from resources.llm.types import CallContext

PURPOSE = "experiment"


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who answers a unit: a variant of the experiment, or (both None) whatever is in production."""

    experiment: str
    unit_id: str
    variant: str | None
    prompt_version_id: str | None


@dataclass(frozen=True, slots=True)
class LiveAnswer:
    """An answer to a unit.

    Attributes:
        interaction_id: of the request; None outside the experiment.
        variant: None where production answered, outside the experiment.
        call_id: the last step's call; outcomes of this answer alone name it.
        repeated: the same request was answered before; nothing was called or paid.
    """

    text: str
    interaction_id: str | None
    variant: str | None
    prompt_version_id: str
    call_id: str
    cost_nano_usd: int
    latency_s: float
    repeated: bool = False


class LiveExperiments:
    """Experiments on one database. Safe to use from many threads and processes at once.

    Args:
        llm: the execution core's client; None for programs that only assign and record.
        clock: the time, with its zone.
        monotonic: seconds that never jump.
    """

    def __init__(
        self,
        database: Database,
        llm: Completer | None = None,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._llm = llm
        self._clock = clock
        self._known = Known(database, monotonic)

    def assign(self, experiment: str, unit_id: str) -> Assignment:
        """The variant that answers `unit_id`: the same one every time, in every process.

        No variant where the unit belongs to another part of the layer, or the experiment is stopped: production
        answers then. After a change of weights, units that were answered before keep their variant.

        Raises:
            InputError: the unit id cannot be used.
            NotFoundError: no experiment of that name was started.
        """
        return self._assign(self._known.started(experiment), unit_id)

    def experiment_of(self, task: str, unit_id: str) -> str | None:
        """The running experiment of a task that the unit belongs to; None where production answers it.

        For tasks whose schedule starts experiments, each under a name of its own. Where experiments of several layers
        take the unit it is the first by name. Another process may have started or stopped one a second ago.

        Raises:
            InputError: the unit id cannot be used.
        """
        return next((one.record.name for one in self._known.running(task) if one.takes(unit_id)), None)

    async def answer_task(
        self, task: str, unit_id: str, inputs: Mapping[str, str], *, request_id: str | None = None
    ) -> LiveAnswer:
        """`answer` by the experiment of the task that runs, whatever its name; by production where none does.

        Raises:
            NotFoundError: there is no such task, or it has no production prompt.
            InputError, UnansweredError, ProviderError, StateUnavailableError: as `answer`.
        """
        experiment = await asyncio.to_thread(self.experiment_of, task, unit_id)
        if experiment is not None:
            return await self.answer(experiment, unit_id, inputs, request_id=request_id)
        known = await asyncio.to_thread(self._known.task, task)
        prompt = await asyncio.to_thread(self._known.prompt, task, None)
        row = _row(known, inputs, _checked_request_id(request_id))
        return await self._ask(known, prompt, Assignment("", unit_id, None, None), row)

    async def answer(
        self, experiment: str, unit_id: str, inputs: Mapping[str, str], *, request_id: str | None = None
    ) -> LiveAnswer:
        """Answer a unit with its variant, through the execution core, and record the interaction.

        A request that was answered before, by its `request_id`, gets the same answer and pays for nothing, in
        whatever process. Without one every call is a new request.

        Raises:
            InputError: unit id, request id or inputs cannot be used, or the request id is another unit's.
            NotFoundError: no such experiment, or its task has no production prompt.
            UnansweredError, ProviderError, StateUnavailableError: as the core's `complete`; nothing is recorded then.
        """
        started = await asyncio.to_thread(self._known.started, experiment)
        interaction_id = _checked_request_id(request_id)
        known = await asyncio.to_thread(self._repeated, experiment, unit_id, interaction_id) if request_id else None
        if known is not None:
            return known
        assignment = await asyncio.to_thread(self._assign, started, unit_id)
        task = await asyncio.to_thread(self._known.task, started.record.task)
        prompt = await asyncio.to_thread(self._known.prompt, task.name, assignment.prompt_version_id)
        made = await self._ask(task, prompt, assignment, _row(task, inputs, interaction_id))
        if assignment.variant is None:
            return made
        record = InteractionRecord(
            experiment=experiment,
            id=interaction_id,
            unit_id=unit_id,
            variant=assignment.variant,
            prompt_version_id=prompt.id,
            call_id=made.call_id,
            cost_nano_usd=made.cost_nano_usd,
            latency_s=made.latency_s,
            answer=made.text,
            at=self._clock(),
            source="live",
        )
        await asyncio.shield(asyncio.to_thread(self._record, record))
        return made

    def record_outcome(
        self,
        experiment: str,
        value: float,
        *,
        unit_id: str | None = None,
        call_id: str | None = None,
        at: datetime | None = None,
    ) -> bool:
        """Record what came of a unit, or of one answer of it (`call_id`); whether it was new.

        The same outcome again changes nothing. Stopped experiments still take outcomes: their units' windows may be
        open. When an outcome counts is for the analysis to say (`Metric.window_hours`).

        Args:
            value: 0 to 1; for a binary metric one of them.
            at: when it happened; now, if not given.

        Raises:
            InputError: neither unit nor call is named, or a value that the metric cannot have.
            NotFoundError: no such experiment, or it made no such call.
            ConflictError: another value is recorded for this unit or call already; that one stands.
        """
        started = self._known.started(experiment)
        now = self._clock()
        unit = self._unit_of(experiment, unit_id, call_id)
        happened = at or now
        check_outcome(started.experiment.metric, unit, value, happened, now)
        key = outcome_key(unit, call_id)
        record = OutcomeRecord(experiment, key, unit, call_id, float(value), happened, now, "live")
        with self._database.session() as session:
            done = record_outcomes(session, [record])
        for stands, refused in done.conflicts.values():
            raise ConflictError(
                f"The outcome of {key} is {stands:g} already; {refused:g} was refused.",
                mend="The first outcome stands; record corrections under another experiment.",
            )
        return done.new == 1

    def _assign(self, started: Started, unit_id: str) -> Assignment:
        name = started.experiment.name
        if not started.takes(unit_id) or not started.is_running:
            return Assignment(name, unit_id, None, None)
        variant = self._kept_variant(started, unit_id) or started.dealt(unit_id)
        return Assignment(name, unit_id, variant, started.prompt_version_id(variant))

    def _kept_variant(self, started: Started, unit_id: str) -> str | None:
        if len(started.epochs) == 1:
            return None
        with self._database.session(read_only=True) as session:
            return interactions.first_variant(session, started.experiment.name, unit_id)

    async def _ask(self, task: Task, prompt: PromptVersion, assignment: Assignment, row: Row) -> LiveAnswer:
        if self._llm is None:
            raise InputError("these experiments have no execution core to answer with", mend="give `llm`.")
        inside = assignment.variant is not None
        own_scope = (f"experiment:{assignment.experiment}",) if inside else ()
        context = CallContext(
            purpose=PURPOSE if inside else "serve",
            task=task.name,
            scopes=("org", "day", "month", f"task:{task.name}", *own_scope),
            experiment_id=assignment.experiment if inside else None,
            unit_id=assignment.unit_id,
        )
        answer, _ = await PromptRunner(self._llm, prompt, context).run(row)
        return LiveAnswer(
            text=answer.text,
            interaction_id=row.row_id if inside else None,
            variant=assignment.variant,
            prompt_version_id=prompt.id,
            call_id=answer.call_id,
            cost_nano_usd=answer.cost_nano_usd,
            latency_s=answer.latency_s,
        )

    def _record(self, record: InteractionRecord) -> None:
        with self._database.session() as session:
            interactions.put_many(session, [record])

    def _repeated(self, experiment: str, unit_id: str, interaction_id: str) -> LiveAnswer | None:
        with self._database.session(read_only=True) as session:
            known = interactions.find(session, experiment, interaction_id)
        if known is None:
            return None
        if known.unit_id != unit_id:
            raise InputError(
                f"the request {interaction_id!r} was made by another unit",
                field="request_id",
                mend="give every request an id of its own.",
            )
        if known.answer is None:
            return None  # recovered or imported: what it answered is not known here
        return LiveAnswer(
            text=known.answer,
            interaction_id=known.id,
            variant=known.variant,
            prompt_version_id=known.prompt_version_id,
            call_id=known.call_id or "",
            cost_nano_usd=known.cost_nano_usd or 0,
            latency_s=known.latency_s or 0.0,
            repeated=True,
        )

    def _unit_of(self, experiment: str, unit_id: str | None, call_id: str | None) -> str:
        if call_id is None:
            if unit_id is None:
                raise InputError("an outcome needs a unit or a call", field="unit_id", mend="name one of them.")
            return unit_id
        with self._database.session(read_only=True) as session:
            found = interactions.units_of_calls(session, experiment, [call_id]).get(call_id)
        if found is None:
            raise NotFoundError(f"Experiment {experiment!r} made no call {call_id!r}.", mend="Check the id.")
        if unit_id is not None and unit_id != found:
            raise InputError(
                f"the call {call_id!r} answered another unit", field="unit_id", mend="leave it out, or correct it."
            )
        return found


def _checked_request_id(request_id: str | None) -> str:
    if request_id is None:
        return uuid.uuid4().hex
    if not request_id or len(request_id) > LONGEST_UNIT_ID or "\0" in request_id:
        raise InputError(
            f"a request id has 1 to {LONGEST_UNIT_ID} characters and no NUL",
            field="request_id",
            mend="use a short id of its own for every request.",
        )
    return request_id


def _row(task: Task, inputs: Mapping[str, str], row_id: str) -> Row:
    wanted = set(task.dataset.inputs)
    if set(inputs) != wanted:
        raise InputError(
            f"the task {task.name!r} takes {', '.join(sorted(wanted))}, not {', '.join(sorted(inputs)) or 'nothing'}",
            field="inputs",
            mend="give exactly these.",
        )
    fields = {name: normalise_text(inputs[name]) for name in task.dataset.inputs}
    return make_row(fields, None, row_id, task.dataset.split)
