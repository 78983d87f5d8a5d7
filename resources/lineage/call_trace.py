"""From a call id back: attempts and money, prompt version, the run that made it, what that was trained on, the row."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session
from upath import UPath

from domain.dataset import DatasetVersion, Row, Split
from domain.errors import NotFoundError
from domain.prompt import PromptVersion
from resources.database.repositories import dataset_versions, journal, ledger, optimization_runs, prompt_versions
from resources.database.repositories.call_references import resolve_call_id
from resources.database.repositories.ledger import AttemptRecord, CallRecord
from resources.database.repositories.optimization_runs import OptimizationRunRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.dspy_runtime.journal import prompt_key
from resources.lineage.demonstrations import ShownRow, rows_shown
from resources.lineage.removed_calls import RemovedCalls
from resources.storage.datasets import DatasetStore


@dataclass(frozen=True, slots=True)
class CallMoney:
    """A call as the ledger has it; `call` is None where its process was killed before it could be written."""

    call_id: str
    call: CallRecord | None
    attempts: tuple[AttemptRecord, ...]

    @property
    def spent_nano_usd(self) -> int:
        """What its attempts were certainly billed."""
        return sum(one.cost_nano_usd for one in self.attempts if one.charge != "ambiguous")

    @property
    def ambiguous_nano_usd(self) -> int:
        """What may have been billed: the answer never came."""
        return sum(one.cost_nano_usd for one in self.attempts if one.charge == "ambiguous")


@dataclass(frozen=True, slots=True)
class PromptOrigin:
    """Where the prompt of a call came from.

    Attributes:
        version_id: as the call says.
        record: None for a candidate of a run that was tried and not kept as a version.
        tried: the content of such a candidate, as its run's journal has it; None where there is a record.
        run: the optimization run that made (or tried) it; None for one that a person wrote.
        role: `result`, `reference` or `candidate` of that run.
        trained_on: the run's dataset version; None where there is no run, or the version is another database's.
        demonstrations: which of its rows the prompt shows.
    """

    version_id: str
    record: PromptVersionRecord | None
    tried: PromptVersion | None
    run: OptimizationRunRecord | None
    role: str | None
    trained_on: DatasetVersion | None
    demonstrations: tuple[ShownRow, ...]


@dataclass(frozen=True, slots=True)
class CallTrace:
    """Everything a call leads to.

    Attributes:
        origin: the call that made the answer, where this one got it from the cache.
        prompt: None for calls without one (an optimizer's own proposals).
        dataset: the version the call's row belongs to.
        row: the row it asked about.
        missing: one sentence per link that should be there and is not.
    """

    money: CallMoney
    origin: CallMoney | None
    prompt: PromptOrigin | None
    dataset: DatasetVersion | None
    row: Row | None
    missing: tuple[str, ...]


def trace_call(database: Database, root: UPath, reference: str) -> CallTrace:
    """Follow a call, named by its id or the beginning of it, to everything it rests on.

    Raises:
        NotFoundError: the ledger has no such call.
        InputError: the reference is the beginning of several ids.
    """
    with database.session(read_only=True) as session:
        tracer = _Tracer(session, DatasetStore(root), RemovedCalls(session, root))
        return tracer.trace(tracer.resolve(reference))


class _Tracer:
    """Follows one call; what is missing on the way is noted, never an error."""

    def __init__(self, session: Session, store: DatasetStore, removed: RemovedCalls) -> None:
        self._session = session
        self._store = store
        self._removed = removed
        self._missing: list[str] = []

    def resolve(self, reference: str) -> str:
        """The id of the call, looked for in the database first, then in the files of removed days."""
        try:
            return resolve_call_id(self._session, reference)
        except NotFoundError:
            found = self._removed.find(reference)
            if found is None:
                raise
        call, attempts = found
        return call.call_id if call else attempts[0].call_id

    def trace(self, call_id: str) -> CallTrace:
        money = self._money(call_id)
        call = money.call
        if call is None:
            self._missing.append("The process that made the call was killed; only its attempts were booked.")
            return CallTrace(money, None, None, None, None, tuple(self._missing))
        origin = self._money(call.origin_call_id) if call.origin_call_id else None
        if origin is not None and origin.call is None and not origin.attempts:
            self._missing.append("The call that made the answer is not on this ledger.")
        dataset = self._dataset(call.task, call.dataset_version_id)
        prompt = self._prompt(call)
        row = self._row(dataset, call.row_id)
        return CallTrace(money, origin, prompt, dataset, row, tuple(self._missing))

    def _money(self, call_id: str) -> CallMoney:
        call, attempts = ledger.find_call(self._session, call_id), ledger.attempts_of_call(self._session, call_id)
        if call is None and not attempts:
            found = self._removed.find(call_id)
            if found is not None:
                return CallMoney(call_id, *found)
        return CallMoney(call_id, call, tuple(attempts))

    def _prompt(self, call: CallRecord) -> PromptOrigin | None:
        version_id, task = call.prompt_version_id, call.task
        if version_id is None or task is None:
            return None
        record = prompt_versions.find(self._session, task, version_id)
        run = self._run(task, version_id, call.run_id if record is None else None)
        tried = self._tried(run, version_id) if record is None else None
        trained_on = self._dataset(task, run.dataset_version_id) if run else None
        content = record.prompt if record else tried
        shown = self._shown(content, trained_on) if content and trained_on else ()
        return PromptOrigin(version_id, record, tried, run, run.role_of(version_id) if run else None, trained_on, shown)

    def _tried(self, run: OptimizationRunRecord | None, version_id: str) -> PromptVersion | None:
        content = journal.find(self._session, run.id, prompt_key(version_id)) if run else None
        if content is None:
            self._missing.append("The prompt was not kept as a version, and no run's journal has its text.")
            return None
        return PromptVersion.from_content(content)

    def _run(self, task: str, version_id: str, tried_in: str | None) -> OptimizationRunRecord | None:
        """The oldest run that made the version; for one nobody kept, the run the call itself belongs to."""
        if tried_in is not None:
            return optimization_runs.find(self._session, tried_in)
        return next(iter(optimization_runs.runs_that_made(self._session, task, version_id)), None)

    def _dataset(self, task: str | None, version_id: str | None) -> DatasetVersion | None:
        if task is None or version_id is None:
            return None
        found = dataset_versions.find(self._session, task, version_id)
        if found is None:
            self._missing.append(f"Dataset version {version_id[:12]} is not registered in this database.")
        return found

    def _shown(self, prompt: PromptVersion, trained_on: DatasetVersion) -> tuple[ShownRow, ...]:
        if not any(step.demonstrations for step in prompt.steps):
            return ()
        try:
            rows = self._store.read(trained_on, [Split.TRAIN, Split.DEV])
        except NotFoundError as error:
            self._missing.append(str(error))
            return ()
        return tuple(rows_shown(prompt, rows))

    def _row(self, dataset: DatasetVersion | None, row_id: str | None) -> Row | None:
        if dataset is None or row_id is None:
            return None
        try:
            found = self._store.find(dataset, row_id)
        except NotFoundError as error:
            self._missing.append(str(error))
            return None
        if found is None:
            self._missing.append(f"Dataset version v{dataset.version} holds no row {row_id}.")
        return found
