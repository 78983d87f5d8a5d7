"""Judgements kept in the database."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resources.database.repositories import judgements
from resources.database.repositories.judgements import JudgementRecord
from resources.database.session import Database


class StoredJudgements:
    """The `judgements` table; each call is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get_many(
        self, judge_id: str, subject_ids: Iterable[str], samples: int
    ) -> dict[tuple[str, int], JudgementRecord]:
        """Those of the first `samples` judgements that exist, by (subject id, sample)."""
        with self._database.session(read_only=True) as session:
            return judgements.get_many(session, judge_id, subject_ids, samples)

    def put_many(self, records: Sequence[JudgementRecord]) -> None:
        """Keep judgements durably; one that exists is left alone."""
        with self._database.session() as session:
            judgements.put_many(session, records)
