"""Parquet files and HuggingFace-datasets folders (as `save_to_disk` writes them)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from upath import UPath

from domain.errors import InputError
from resources.catalog.sources.reading import RawRow, RawTable, refuse_repeated
from resources.storage.parquet import read_table
from resources.storage.reading import open_to_read

if TYPE_CHECKING:
    import pyarrow as pa

    ClassNames = dict[str, list[str]]

_NO_PYTHON_VALUE = (ArithmeticError, ValueError, LookupError, NotImplementedError)
"""What Arrow raises for one value; its own errors are subclasses of these."""


def read_parquet(path: UPath) -> RawTable:
    """A Parquet file.

    Raises:
        InputError: it is damaged, has no row, or two columns of one name.
    """
    import pyarrow as pa

    try:
        table = read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"not a readable Parquet file: {error}", file=str(path), mend="write it again.") from error
    return _as_table([table], {}, path)


def read_huggingface_folder(path: UPath) -> RawTable:
    """A folder written by `Dataset.save_to_disk` or `DatasetDict.save_to_disk`; all its splits, one after another.

    The folder's own split is not kept: Promptory deals rows to splits by their input. `ClassLabel` numbers become
    their names.

    Raises:
        InputError: the folder is no such dataset, or is damaged.
    """
    parts = _split_folders(path)
    names: ClassNames = {}
    tables: list[pa.Table] = []
    for part in parts:
        names.update(_class_names(part))
        tables.extend(_arrow_tables(part))
    return _as_table(tables, names, path)


def _split_folders(path: UPath) -> list[UPath]:
    index = path / "dataset_dict.json"
    if index.exists():
        return [path / split for split in _read_json(index)["splits"]]
    if (path / "state.json").exists():
        return [path]
    raise InputError(
        "the folder is no HuggingFace dataset (neither dataset_dict.json nor state.json is there)",
        file=str(path),
        mend="write it with `dataset.save_to_disk(folder)`.",
    )


def _class_names(folder: UPath) -> ClassNames:
    info = folder / "dataset_info.json"
    features = (_read_json(info).get("features") or {}) if info.exists() else {}
    return {
        column: list(feature["names"])
        for column, feature in features.items()
        if isinstance(feature, dict) and feature.get("_type") == "ClassLabel"
    }


def _arrow_tables(folder: UPath) -> Iterator[pa.Table]:
    import pyarrow as pa

    for entry in _read_json(folder / "state.json")["_data_files"]:
        file_path = folder / entry["filename"]
        try:
            with open_to_read(file_path) as file:
                yield pa.ipc.open_stream(file).read_all()
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(
                f"not a readable Arrow file: {error}", file=str(file_path), mend="save it again."
            ) from error


def _as_table(tables: list[pa.Table], names: ClassNames, path: UPath) -> RawTable:
    if not tables or not any(table.num_rows for table in tables):
        raise InputError("the dataset is empty", file=str(path), mend="add rows.")
    refuse_repeated(tables[0].column_names, path)
    return RawTable(tuple(tables[0].column_names), _rows(tables, names))


def batch_rows(batch: pa.RecordBatch, first: int) -> Iterator[RawRow]:
    """The rows of a record batch, numbered from `first` on.

    Arrow holds values that Python does not, such as dates after the year 9999 and times in a zone nobody knows.
    """
    try:
        every = batch.to_pylist()
    except _NO_PYTHON_VALUE:
        yield from _cell_by_cell(batch, first)
        return
    for number, values in enumerate(every, start=first):
        yield RawRow(number, values)


def _cell_by_cell(batch: pa.RecordBatch, first: int) -> Iterator[RawRow]:
    columns = list(zip(batch.schema.names, batch.columns, strict=True))
    for place in range(batch.num_rows):
        row = RawRow(first + place, {})
        for name, column in columns:
            try:
                row.values[name] = column[place].as_py()
            except _NO_PYTHON_VALUE as error:
                row.unreadable[name] = f"a value of type {column.type} that cannot be read: {error}"
        yield row


def _rows(tables: list[pa.Table], names: ClassNames) -> Iterator[RawRow]:
    number = 0
    for table in tables:
        for batch in table.to_batches(max_chunksize=1024):
            for row in batch_rows(batch, number + 1):
                row.values.update({key: _named(row.values[key], names[key]) for key in names.keys() & row.values})
                yield row
            number += batch.num_rows


def _named(value: Any, names: list[str]) -> Any:
    if not isinstance(value, int) or not 0 <= value < len(names):
        return value
    return names[value]


def _read_json(path: UPath) -> dict[str, Any]:
    try:
        with open_to_read(path) as file:
            value = json.load(file)
    except (OSError, ValueError) as error:
        raise InputError(f"not readable JSON: {error}", file=str(path), mend="save the dataset again.") from error
    if not isinstance(value, dict):
        raise InputError("not a JSON object", file=str(path), mend="save the dataset again.")
    return value
