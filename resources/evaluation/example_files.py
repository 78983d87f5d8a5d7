"""Per-example results as Parquet: one file per evaluation, one row per example. Columns: see docs/metrics.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from upath import UPath

from domain.identity import canonical_json
from resources.evaluation.results import ExampleResult
from resources.storage.atomic import write_atomically

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "evaluations"


def write_examples(root: UPath, evaluation_id: str, examples: Sequence[ExampleResult]) -> str:
    """Store the examples; gives the path relative to `root`."""
    import pyarrow.parquet as pq

    relative = f"{FOLDER}/{evaluation_id}.parquet"
    table = _table(examples)
    write_atomically(root / relative, lambda stream: pq.write_table(table, stream, compression="zstd"))
    return relative


def _table(examples: Sequence[ExampleResult]) -> pa.Table:
    import pyarrow as pa

    names = list(examples[0].scores)
    return pa.Table.from_pylist([_record(example) for example in examples], schema=_schema(names))


def _record(example: ExampleResult) -> dict[str, Any]:
    record: dict[str, Any] = {
        "row_id": example.row_id,
        "input_id": example.input_id,
        "inputs": canonical_json(example.inputs),
        "expected": canonical_json(example.expected),
        "answer": _storable(example.answer),
        "status": str(example.status),
        "problem": _storable(example.problem),
        "score": example.score,
        "reason": _storable(example.reason),
        "call_ids": list(example.call_ids),
        "cost_nano_usd": example.cost_nano_usd,
        "latency_s": example.latency_s,
        "input_tokens": example.input_tokens,
        "output_tokens": example.output_tokens,
        "judge_call_ids": [call for score in example.scores.values() for call in score.call_ids],
        "judge_cost_nano_usd": sum(score.cost_nano_usd for score in example.scores.values()),
    }
    for name, score in example.scores.items():
        record[f"score.{name}"] = score.value
        record[f"reason.{name}"] = _storable(score.reason)
        record[f"status.{name}"] = str(score.status)
        record[f"variance.{name}"] = score.variance
    return record


def _storable(text: str | None) -> str | None:
    """Half a surrogate pair (some providers escape one) has no UTF-8; the database keeps it, a reader sees `?`."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def _schema(names: Sequence[str]) -> pa.Schema:
    import pyarrow as pa

    text, number, ids = pa.string(), pa.float64(), pa.list_(pa.string())
    columns: list[tuple[str, pa.DataType]] = [
        *((name, text) for name in ("row_id", "input_id", "inputs", "expected", "answer", "status", "problem")),
        ("score", number),
        ("reason", text),
        ("call_ids", ids),
        ("cost_nano_usd", pa.int64()),
        ("latency_s", number),
        ("input_tokens", pa.int64()),
        ("output_tokens", pa.int64()),
        ("judge_call_ids", ids),
        ("judge_cost_nano_usd", pa.int64()),
    ]
    for name in names:
        columns += [(f"score.{name}", number), (f"reason.{name}", text), (f"status.{name}", text)]
        columns.append((f"variance.{name}", number))
    return pa.schema(columns)
