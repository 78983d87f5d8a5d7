"""Dataset snapshots as Parquet, addressed by their content."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from upath import UPath

from domain.dataset import DatasetVersion, Row, Split
from domain.errors import NotFoundError
from domain.identity import canonical_json
from resources.storage.atomic import write_atomically
from resources.storage.parquet import Filter, read_table
from resources.storage.reading import is_there

if TYPE_CHECKING:
    import pyarrow as pa

FOLDER = "datasets"


class DatasetStore:
    """Writes and reads the rows of dataset versions below a storage root."""

    def __init__(self, root: UPath) -> None:
        self._root = root

    def write(self, version_id: str, rows: Sequence[Row]) -> str:
        """Store `rows` under their version's id; a version already there is left alone. Gives the relative path."""
        import pyarrow.parquet as pq

        relative = f"{FOLDER}/{version_id}.parquet"
        path = self._root / relative
        if not is_there(path):
            table = _table(rows)
            write_atomically(path, lambda stream: pq.write_table(table, stream, compression="zstd"))
        return relative

    def read(self, version: DatasetVersion, splits: Collection[Split]) -> list[Row]:
        """The rows of the named splits, ordered by input id.

        Raises:
            NotFoundError: the snapshot's file is gone.
        """
        wanted: list[Filter] = [("split", "in", [str(split) for split in splits])]
        return sorted((_row(one) for one in self._table_of(version, wanted)), key=lambda row: row.input_id)

    def sample_inputs(self, version: DatasetVersion, splits: Collection[Split], most: int) -> list[dict[str, str]]:
        """The inputs of at most `most` rows of the named splits, spread over all of them.

        Raises:
            NotFoundError: the snapshot's file is gone.
        """
        wanted: list[Filter] = [("split", "in", [str(split) for split in splits])]
        rows = self._table_of(version, wanted, ["inputs"])
        chosen = rows if len(rows) <= most else [rows[place * len(rows) // most] for place in range(most)]
        return [json.loads(one["inputs"]) for one in chosen]

    def find(self, version: DatasetVersion, row_id: str) -> Row | None:
        """The row with exactly that id; None where the version does not hold it.

        Raises:
            NotFoundError: the snapshot's file is gone.
        """
        found = self._table_of(version, [("row_id", "==", row_id)])
        return _row(found[0]) if found else None

    def row_ids(self, version: DatasetVersion) -> list[str]:
        """The ids of all rows, in order.

        Raises:
            NotFoundError: the snapshot's file is gone.
        """
        return sorted(one["row_id"] for one in self._table_of(version, None, ["row_id"]))

    def _table_of(
        self, version: DatasetVersion, filters: list[Filter] | None, columns: list[str] | None = None
    ) -> list[dict[str, Any]]:
        path = self._root / version.storage_path
        if not is_there(path):
            raise NotFoundError(
                f"the rows of dataset version {version.version} of {version.task!r} are gone",
                file=str(path),
                mend="restore the file, or ingest the dataset again.",
            )
        return read_table(path, columns, filters).to_pylist()


class TrainingRows:
    """What an optimizer may see of a dataset version: `train` and `dev`. It has no way to `test`."""

    def __init__(self, store: DatasetStore, version: DatasetVersion) -> None:
        self.dataset_version_id = version.id
        self.train = store.read(version, [Split.TRAIN])
        self.dev = store.read(version, [Split.DEV])


def _table(rows: Sequence[Row]) -> pa.Table:
    import pyarrow as pa

    columns: dict[str, list[str]] = {
        "row_id": [row.row_id for row in rows],
        "split": [str(row.split) for row in rows],
        "input_id": [row.input_id for row in rows],
        "inputs": [canonical_json(row.inputs) for row in rows],
        "output": [canonical_json(row.output) for row in rows],
        "annotations": [canonical_json(row.annotations) for row in rows],
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _row(record: dict[str, Any]) -> Row:
    return Row(
        record["row_id"],
        json.loads(record["inputs"]),
        json.loads(record["output"]),
        Split(record["split"]),
        record["input_id"],
        json.loads(record.get("annotations") or "{}"),  # absent in snapshots of earlier releases
    )
