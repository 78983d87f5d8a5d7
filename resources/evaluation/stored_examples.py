"""The examples of a stored evaluation, read back."""

from __future__ import annotations

import json
from typing import Any

from upath import UPath

from domain.errors import NotFoundError
from domain.evaluators.row_score import RowScore, ScoreStatus
from resources.database.repositories.evaluations import EvaluationRecord
from resources.evaluation.results import ExampleResult
from resources.storage.parquet import Filter, read_table
from resources.storage.reading import is_there

_SCORE = "score."


def read_examples(root: UPath, record: EvaluationRecord, row_id: str | None = None) -> tuple[ExampleResult, ...]:
    """The evaluation's examples, ordered by input id; with `row_id` only that row's.

    Raises:
        NotFoundError: the examples' file is gone.
    """
    path = root / record.storage_path
    if not is_there(path):
        raise NotFoundError(
            "the examples of an evaluation are gone", file=str(path), mend="restore the file, or evaluate again."
        )
    filters: list[Filter] | None = None if row_id is None else [("row_id", "==", row_id)]
    found = read_table(path, filters=filters).to_pylist()
    return tuple(sorted((_example(one, record.metric) for one in found), key=lambda example: example.input_id))


def _example(values: dict[str, Any], metric: str) -> ExampleResult:
    """The row as it was written; which judge's calls were which is not in the file."""
    names = [name.removeprefix(_SCORE) for name in values if name.startswith(_SCORE)]
    plain = ("row_id", "input_id", "answer", "cost_nano_usd", "latency_s", "input_tokens", "output_tokens")
    return ExampleResult(
        **{name: values[name] for name in plain},
        inputs=json.loads(values["inputs"]),
        expected=json.loads(values["expected"]),
        metric=metric,
        scores={name: _score(values, name) for name in names},
        contract_problem=values["problem"] if values["status"] == ScoreStatus.UNPARSABLE else None,
        call_ids=tuple(values["call_ids"]),
    )


def _score(values: dict[str, Any], name: str) -> RowScore:
    status = ScoreStatus(values[f"status.{name}"])
    return RowScore(values[f"{_SCORE}{name}"], values[f"reason.{name}"], status, values[f"variance.{name}"])
