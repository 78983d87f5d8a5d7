"""The ledger's reads and writes. Everything here blocks: callers use a thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from sqlalchemy import literal_column, select, text
from sqlalchemy.orm import Session

from resources.database.bulk_write import BulkWrite
from resources.database.locks import BUDGET_REBUILD, lock_until_commit
from resources.database.repositories import budget_scopes, ledger_days, provider_jobs
from resources.database.repositories.provider_jobs import ProviderJob
from resources.database.repositories.spending import ScopeSpend, scope_spends, scope_totals
from resources.database.session import Database, open_database
from resources.database.tables.ledger import AttemptRow, CallRow
from resources.llm.ledger_rows import (
    ATTEMPT_COLUMNS,
    CALL_COLUMNS,
    Row,
    attempt_row,
    orphan_call_row,
    orphans,
    parse_record,
)
from resources.llm.records import LOST
from resources.llm.state.protocol import HOLD, Intent

if TYPE_CHECKING:
    from resources.database.insert_ignore import Insert

ScopeTotals = list[tuple[str, int, int]]

_DAY_S = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_LONGEST_CALL_DAYS = 31
_STARTED, _FINISHED = CALL_COLUMNS.index("started_at"), CALL_COLUMNS.index("finished_at")
_WRITE_LOCK = "promptory/ledger-write"
_SETTLING = "provider batches"


def open_ledger_database(url: str) -> LedgerDatabase:
    """Open the ledger at `url`; a database without a schema gets one.

    Raises:
        ConfigurationError: the URL is not usable.
        DatabaseUnavailableError: it does not answer.
        SchemaVersionError: it is on another schema than this program.
    """
    from resources.database.schema import current_revision, require_current, upgrade  # brings Alembic: not at import

    database = open_database(url)
    try:
        if current_revision(database) is None:
            upgrade(database)
        require_current(database)
    except BaseException:
        database.dispose()
        raise
    return LedgerDatabase(database)


class LedgerDatabase:
    """Writes calls and attempts once each, however often they are handed in, and sums what was spent."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._writer = uuid4().hex

    def write(self, calls: Sequence[Row], records: Sequence[str]) -> None:
        """Store `calls` (`CALL_COLUMNS`) and the attempts in `records` (JSON), in one transaction.

        No attempt is stored without a call: one that is not in `calls` gets a row from the attempt's lineage. The days
        that changed are marked in the same transaction, so that the metrics find late rows without looking for them.

        Raises:
            DatabaseUnavailableError: nothing was stored.
        """
        parsed = [parse_record(record) for record in records]
        with self._database.session() as session:
            # Processes hand in each other's attempts, whose calls their makers write: without turns, on PostgreSQL each
            # of two would wait for a row of the other's.
            lock_until_commit(session, _WRITE_LOCK)
            _WRITE_CALLS(session, calls)
            _ADD_ATTEMPTS(session, [attempt_row(record) for record in parsed])
            _write_orphans(session, orphans(parsed, {call[0] for call in calls}))
            ledger_days.mark(session, self._writer, set(_days_touched(calls, parsed)))

    def rebuilding(self, apply: Callable[[ScopeTotals, list[Intent]], None]) -> None:
        """Sum all attempts by scope and hand (scope, settled, ambiguous) to `apply`, one process at a time.

        With them goes what providers' batch jobs hold that are not in the ledger yet.

        Raises:
            DatabaseUnavailableError: the ledger cannot be read.
        """
        with self._database.session() as session:
            if not self._database.is_sqlite:  # a sum over all there is takes longer than any other query may, or a lock
                session.execute(text("SET LOCAL statement_timeout = 0"))
                session.execute(text("SET LOCAL lock_timeout = 0"))
            lock_until_commit(session, BUDGET_REBUILD)
            totals = [line for line in scope_totals(session) if line[1] or line[2]]
            apply(totals, [hold_of(job) for job in provider_jobs.holding(session)])

    def scope_spends(self, since: datetime, starts: Sequence[datetime]) -> list[ScopeSpend]:
        """What each budget window was charged by attempts admitted after each of `starts`; see `scope_spends`."""
        with self._database.session(read_only=True) as session:
            return scope_spends(session, since, starts)

    def caps(self) -> dict[str, int]:
        """Caps set by hand, nano-USD by scope name."""
        with self._database.session(read_only=True) as session:
            return budget_scopes.caps(session)

    def put_cap(self, scope: str, cap_nano_usd: int | None, now: float) -> None:
        """Remember a cap set by hand, or forget it."""
        with self._database.session() as session:
            if cap_nano_usd is None:
                budget_scopes.remove_cap(session, scope)
            else:
                budget_scopes.set_cap(session, scope, cap_nano_usd, now=datetime.fromtimestamp(now, UTC))

    def dispose(self) -> None:
        """Close the connections."""
        self._database.dispose()


def _days_touched(calls: Sequence[Row], records: Sequence[dict[str, Any]]) -> Iterator[date]:
    """Every UTC day of a call, its first one included: what was written for it while its fate was unknown is there."""
    spans = [(call[_STARTED], call[_FINISHED]) for call in calls]
    spans += [(record["started_at"], record["finished_at"]) for record in records]
    for first, last in {(int(started // _DAY_S), int(finished // _DAY_S)) for started, finished in spans}:
        for number in range(max(first, last - _LONGEST_CALL_DAYS), last + 1):
            yield date.fromordinal(_EPOCH + number)


def write_settled(session: Session, calls: Sequence[Row], attempts: Sequence[Row]) -> None:
    """Store calls and attempts of a provider's batch job in the session's transaction; those that are there stay.

    Until it commits no state store is rebuilt: it would count the job's hold beside its charges, or neither.
    """
    lock_until_commit(session, BUDGET_REBUILD)
    lock_until_commit(session, _WRITE_LOCK)
    _WRITE_LOST_CALLS(session, calls)
    _ADD_ATTEMPTS(session, attempts)
    ledger_days.mark(session, _SETTLING, set(_days_touched(calls, [])))


def hold_of(job: ProviderJob) -> Intent:
    """What a batch job holds of the budgets: an intent that no process owns."""
    return Intent(
        attempt_id=f"job-{job.id}",
        model=f"batch:{job.model}",  # the provider's batch queue has a limiter and a breaker of its own
        scopes=tuple(job.scopes),
        reserve_nano_usd=job.reserve_nano_usd,
        tokens=0,
        owner=f"{HOLD}{job.id}",
        record="",
    )


def _write_orphans(session: Session, lineages: dict[str, dict[str, Any]]) -> None:
    """Give calls a row in case their process dies before it tells how they ended; its own row always wins."""
    if not lineages:
        return
    query = select(AttemptRow).where(AttemptRow.call_id.in_(lineages)).order_by(AttemptRow.call_id, AttemptRow.number)
    grouped = groupby(session.scalars(query), key=lambda row: row.call_id)
    _WRITE_LOST_CALLS(session, [orphan_call_row(lineages[call_id], list(attempts)) for call_id, attempts in grouped])


def _replacing(insert: Insert) -> Insert:
    return insert.on_conflict_do_update(index_elements=["call_id"], set_=_all_but_the_id(insert))


def _replacing_lost(insert: Insert) -> Insert:
    only_lost = CallRow.status == literal_column(f"'{LOST}'")
    return insert.on_conflict_do_update(index_elements=["call_id"], set_=_all_but_the_id(insert), where=only_lost)


def _all_but_the_id(insert: Insert) -> dict[str, Any]:
    return {name: insert.excluded[name] for name in CALL_COLUMNS if name != "call_id"}


def _keeping(insert: Insert) -> Insert:
    return insert.on_conflict_do_nothing()


_WRITE_CALLS = BulkWrite(CallRow, CALL_COLUMNS, _replacing)
_WRITE_LOST_CALLS = BulkWrite(CallRow, CALL_COLUMNS, _replacing_lost)
_ADD_ATTEMPTS = BulkWrite(AttemptRow, ATTEMPT_COLUMNS, _keeping)
