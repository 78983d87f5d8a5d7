"""Which reader a path gets."""

from __future__ import annotations

from collections.abc import Callable

from upath import UPath

from domain.errors import InputError
from resources.catalog.sources.arrow import read_huggingface_folder, read_parquet
from resources.catalog.sources.reading import RawTable
from resources.catalog.sources.text import read_csv, read_jsonl, read_tsv
from resources.storage.reading import is_there

Reader = Callable[[UPath], RawTable]

READERS: dict[str, Reader] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".parquet": read_parquet,
}


def open_source(path: UPath) -> RawTable:
    """The table at `path`: `.csv`, `.tsv`, `.jsonl`/`.ndjson`, `.parquet`, or a HuggingFace-datasets folder.

    Raises:
        InputError: it is missing, empty, of an unknown format, not UTF-8 or damaged.
        StateUnavailableError: the object store it is in does not answer.
    """
    if not is_there(path):
        raise InputError("the dataset file does not exist", file=str(path), mend="check dataset.source.")
    return _reader_for(path)(path)


def _reader_for(path: UPath) -> Reader:
    if path.is_dir():
        return read_huggingface_folder
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            f"unknown dataset format {path.suffix or '(no suffix)'!r}",
            file=str(path),
            mend=f"use one of {', '.join(READERS)} or a HuggingFace-datasets folder.",
        )
    return reader
