"""The ledger's calls of a batch, by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from resources.database.repositories.records import read, select_record
from resources.database.tables import CallRow

ROWS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class BatchCall:
    """A call made for a row of a batch; `row_id` is the row's number."""

    call_id: str
    row_id: str
    status: str
    cost_nano_usd: int


def calls_of_rows(session: Session, batch_id: str, row_ids: Sequence[str]) -> list[BatchCall]:
    """All calls made for these rows, in no order."""
    query = select_record(CallRow, BatchCall).where(CallRow.batch_id == batch_id)
    found: list[BatchCall] = []
    for start in range(0, len(row_ids), ROWS_PER_QUERY):
        part = query.where(CallRow.row_id.in_(row_ids[start : start + ROWS_PER_QUERY]))
        found += [read(BatchCall, row) for row in session.execute(part)]
    return found
