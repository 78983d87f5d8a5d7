"""The examples of a stored evaluation, read back."""

from __future__ import annotations

import json
from typing import Any

from upath import UPath

from domain.errors import NotFoundError
from resources.database.repositories.evaluations import EvaluationRecord
from resources.evaluation.results import ExampleResult


def read_examples(root: UPath, record: EvaluationRecord, row_id: str | None = None) -> tuple[ExampleResult, ...]:
    """The evaluation's examples, ordered by input id; with `row_id` only that row's.

    Raises:
        NotFoundError: the examples' file is gone.
    """
    import pyarrow.parquet as pq

    path = root / record.storage_path
    if not path.exists():
        raise NotFoundError(
            "the examples of an evaluation are gone", file=str(path), mend="restore the file, or evaluate again."
        )
    filters = None if row_id is None else [("row_id", "==", row_id)]
    with path.open("rb") as stream:
        found = pq.read_table(stream, filters=filters).to_pylist()
    return tuple(sorted((_example(one) for one in found), key=lambda example: example.input_id))


def _example(values: dict[str, Any]) -> ExampleResult:
    read = {name: json.loads(values[name]) for name in ("inputs", "expected", "scores")}
    return ExampleResult(**{**values, **read})
