"""Answers kept in the database."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from resources.database.repositories import answers as stored
from resources.database.session import Database
from resources.evaluation.answers import Answer


class StoredAnswers:
    """An `AnswerStore` on the `answers` table; each call is one transaction."""

    def __init__(self, database: Database, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock

    def get_many(self, prompt_version_id: str, input_ids: Sequence[str], sample: int) -> dict[str, Answer]:
        """Those of the answers that exist, by input id."""
        with self._database.session(read_only=True) as session:
            found = stored.get_many(session, prompt_version_id, input_ids, sample=sample)
        return {
            input_id: Answer(
                input_id=input_id,
                text=record.text,
                call_id=record.call_id,
                model=record.model,
                cost_nano_usd=record.cost_nano_usd,
                latency_s=record.latency_s,
                input_tokens=record.input_tokens,
                output_tokens=record.output_tokens,
                call_ids=tuple(record.call_ids or (record.call_id,)),
                broken_step=record.broken_step,
            )
            for input_id, record in found.items()
        }

    def put_many(self, prompt_version_id: str, sample: int, answers: Iterable[Answer]) -> None:
        """Keep answers durably; one that exists is left alone."""
        now = self._clock()
        records = [
            stored.AnswerRecord(
                prompt_version_id=prompt_version_id,
                input_id=answer.input_id,
                sample=sample,
                text=answer.text,
                call_id=answer.call_id,
                model=answer.model,
                cost_nano_usd=answer.cost_nano_usd,
                latency_s=answer.latency_s,
                input_tokens=answer.input_tokens,
                output_tokens=answer.output_tokens,
                call_ids=list(answer.call_ids),
                broken_step=answer.broken_step,
                created_at=now,
            )
            for answer in answers
        ]
        with self._database.session() as session:
            stored.put_many(session, records)
