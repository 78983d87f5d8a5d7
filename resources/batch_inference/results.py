"""The results of a chunk: one Parquet part in row order, and how a later round's answers are laid over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from upath import UPath

from domain.batch.outcome import RowOutcome
from domain.batch.rows import InputRow
from domain.batch.states import ChunkState, RowStatus
from domain.contracts import JsonContract, OutputContract
from domain.identity import canonical_json
from resources.database.repositories.batch_chunks import ChunkRecord
from resources.storage.atomic import write_atomically
from resources.storage.parquet import read_table

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "results"
VALUE_PREFIX = "value_"
INPUT_PREFIX = "input_"
_KINDS = {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool_"}


class PartLayout:
    """The columns of a batch's parts, which follow from its prompt's last contract and its options."""

    def __init__(self, contract: OutputContract, prompt_version_id: str, inputs: Sequence[str]) -> None:
        """Lay out the columns; `inputs` are the input fields to copy."""
        self._prompt_version_id = prompt_version_id
        self._inputs = tuple(inputs)
        self._fields = _typed_fields(contract)
        self._is_json = isinstance(contract, JsonContract)

    def schema(self) -> pa.Schema:
        """One column per attribute of a result, then the answer's fields, then the inputs that are kept."""
        import pyarrow as pa

        return pa.schema(
            [
                ("row", pa.int64()),
                ("source_row", pa.int64()),
                ("key", pa.string()),
                ("status", pa.string()),
                ("reason", pa.string()),
                ("output", pa.string()),
                ("value", pa.string()),
                ("call_id", pa.string()),
                ("call_ids", pa.list_(pa.string())),
                ("model", pa.string()),
                ("prompt_version_id", pa.string()),
                ("cost_nano_usd", pa.int64()),
                ("input_tokens", pa.int64()),
                ("output_tokens", pa.int64()),
                ("latency_s", pa.float64()),
                ("cached", pa.bool_()),
                ("rounds", pa.int32()),
                *((VALUE_PREFIX + name, getattr(pa, kind)()) for name, kind in self._fields.items()),
                *((INPUT_PREFIX + name, pa.string()) for name in self._inputs),
            ]
        )

    def row(self, row: InputRow, outcome: RowOutcome, rounds: int) -> dict[str, Any]:
        """One result."""
        value = outcome.value
        made: dict[str, Any] = {
            "row": row.number,
            "source_row": row.source_row,
            "key": row.key,
            "status": outcome.status.value,
            "reason": _utf8(outcome.reason),
            "output": _utf8(outcome.text),
            "value": self._value_text(value),
            "call_id": outcome.call_id,
            "call_ids": list(outcome.call_ids),
            "model": outcome.model,
            "prompt_version_id": self._prompt_version_id,
            "cost_nano_usd": outcome.cost_nano_usd,
            "input_tokens": outcome.input_tokens,
            "output_tokens": outcome.output_tokens,
            "latency_s": outcome.latency_s,
            "cached": outcome.cached,
            "rounds": rounds,
        }
        fields: Mapping[str, Any] = value if self._is_json and isinstance(value, dict) else {}
        for name, kind in self._fields.items():
            made[VALUE_PREFIX + name] = _typed(fields.get(name), kind)
        for name in self._inputs:
            made[INPUT_PREFIX + name] = row.inputs.get(name)
        return made

    def _value_text(self, value: Any) -> str | None:
        if value is None or isinstance(value, str):
            return _utf8(value)
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        return canonical_json(value)


def merge(
    layout: PartLayout,
    rows: Sequence[InputRow],
    outcomes: Mapping[int, RowOutcome],
    before: Mapping[int, dict[str, Any]],
    rounds: int,
) -> list[dict[str, Any]]:
    """Every row's result after a round: what it brought over what stood there, sums carried on.

    Raises:
        KeyError: a row that can be asked has neither.
    """
    merged: list[dict[str, Any]] = []
    for row in rows:
        outcome = outcomes.get(row.number)
        if row.problem is not None:
            outcome = RowOutcome(RowStatus.REJECTED, row.problem)
        if outcome is None:
            merged.append(before[row.number])
            continue
        made = layout.row(row, outcome, rounds if row.problem is None else 0)
        if (old := before.get(row.number)) is not None and row.problem is None:
            _carry_on(made, old)
        merged.append(made)
    return merged


def _carry_on(made: dict[str, Any], old: Mapping[str, Any]) -> None:
    for name in ("cost_nano_usd", "input_tokens", "output_tokens"):
        made[name] += old[name]
    made["call_ids"] = [*old["call_ids"], *made["call_ids"]]
    if made["call_id"] is None:
        made["call_id"] = old["call_id"]


def write_part(folder: UPath, layout: PartLayout, chunk: ChunkRecord, results: Sequence[dict[str, Any]]) -> ChunkRecord:
    """Store a round's results; the chunk as it is then.

    Raises:
        OSError: the storage root cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    relative = f"{FOLDER}/part-{chunk.chunk:06d}-{chunk.round}.parquet"
    table = pa.Table.from_pylist(list(results), layout.schema())
    write_atomically(folder / relative, lambda stream: pq.write_table(table, stream, compression="zstd"))
    statuses = Counter(result["status"] for result in results)
    return replace(
        chunk,
        state=ChunkState.DONE.value,
        round=chunk.round + 1,
        path=relative,
        **{status.value: statuses[status.value] for status in RowStatus},
        **{name: sum(one[name] for one in results) for name in ("cost_nano_usd", "input_tokens", "output_tokens")},
    )


def read_part(folder: UPath, relative: str, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """The results of a part, in row order.

    Raises:
        OSError: the part is gone.
    """
    return read_table(folder / relative, columns).to_pylist()


def _typed_fields(contract: OutputContract) -> dict[str, str]:
    """Arrow type by property, for the properties of a JSON object that have one plain type."""
    if not isinstance(contract, JsonContract):
        return {}
    properties = contract.json_schema.get("properties")
    if not isinstance(properties, dict):
        return {}
    kinds = {name: part.get("type") for name, part in properties.items() if isinstance(part, dict)}
    return {name: _KINDS.get(kind, "string") if isinstance(kind, str) else "string" for name, kind in kinds.items()}


def _typed(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "string":
        return _utf8(value if isinstance(value, str) else canonical_json(value))
    if kind == "bool_":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if kind == "int64":
        return int(value) if -(2**63) <= value < 2**63 and value == int(value) else None
    try:
        return float(value)
    except OverflowError:
        return None


def _utf8(text: str | None) -> str | None:
    if text is None or text.isascii():
        return text
    return text.encode("utf-8", "replace").decode("utf-8")
