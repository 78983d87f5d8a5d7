"""Dataset rows and versions: normalisation, splits, content-addressed ids."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.errors import InputError
from domain.identity import canonical_json, content_id

MAX_CELL_CHARACTERS = 100_000


class Split(StrEnum):
    """Which use a row is for. Optimizers see `train` and `dev` only; `test` is sealed."""

    TRAIN = "train"
    DEV = "dev"
    TEST = "test"


class SplitFractions(BaseModel):
    """How rows are dealt to the splits; a row's split depends on its input and `seed` alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    seed: int = Field(default=0, ge=0, description="Changes which rows fall into which split.")
    train: float = Field(default=0.5, ge=0, le=1)
    dev: float = Field(default=0.2, ge=0, le=1)
    test: float = Field(default=0.3, gt=0, le=1)

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        if abs(self.train + self.dev + self.test - 1) > 1e-9:
            raise ValueError("train, dev and test must add up to 1")
        return self


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled example.

    Attributes:
        row_id: the source's own id, or one derived from the input.
        inputs: normalised text by field.
        output: the expected value (label, number or JSON object).
        input_id: SHA-256 of the inputs, as they are sent.
        annotations: what people noted of the row, by column: judges are calibrated with it, no prompt sees it.
    """

    row_id: str
    inputs: dict[str, str]
    output: Any
    split: Split
    input_id: str
    annotations: dict[str, str] = field(default_factory=dict[str, str])

    def content(self) -> dict[str, Any]:
        """What a dataset version's id hashes of this row."""
        content = {"row_id": self.row_id, "inputs": self.inputs, "output": self.output, "split": str(self.split)}
        return {**content, "annotations": self.annotations} if self.annotations else content


class DatasetVersion(BaseModel):
    """An immutable snapshot of a task's rows, by reference: the rows are at `storage_path`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    task: str
    version: int
    storage_path: str
    rows: int
    split_rows: dict[str, int]
    quarantined: int = 0
    sources: tuple[dict[str, Any], ...] = ()


def normalise_text(value: str) -> str:
    """NFC, Unix newlines, no NUL, no surrounding white space."""
    text = value.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")
    return unicodedata.normalize("NFC", text).strip()


def cell_text(value: Any, field: str) -> str:
    """What a source's value is as text, in dataset and batch alike: null is empty text, numbers are written out.

    Raises:
        InputError: it is an object, a list or bytes, has over `MAX_CELL_CHARACTERS`, or no UTF-8 can say it.
    """
    if value is None:
        return ""
    if isinstance(value, Mapping | list | tuple | set | bytes | bytearray):
        kind = "an object" if isinstance(value, Mapping) else "bytes" if isinstance(value, bytes) else "a list"
        raise InputError(f"the field is {kind}, not text", field=field, mend="write it as text.")
    text = normalise_text(value if isinstance(value, str) else str(value))
    if len(text) > MAX_CELL_CHARACTERS:
        raise InputError(
            f"the cell has {len(text):,} characters, more than {MAX_CELL_CHARACTERS:,}",
            field=field,
            mend="shorten it, or drop the row.",
        )
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise InputError("the cell is not valid UTF-8", field=field, mend="save it as UTF-8.")
    return text


def input_key(inputs: Mapping[str, str]) -> str:
    """What makes two inputs the same row to people: case and runs of white space do not."""
    return canonical_json({field: " ".join(text.casefold().split()) for field, text in inputs.items()})


def assign_split(inputs: Mapping[str, str], fractions: SplitFractions) -> Split:
    """The split of a row, from its normalised input and the seed alone: later versions keep it."""
    digest = hashlib.sha256(f"{fractions.seed}:{input_key(inputs)}".encode("utf-8", "surrogatepass")).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < fractions.test:
        return Split.TEST
    return Split.DEV if position < fractions.test + fractions.dev else Split.TRAIN


def make_row(
    inputs: Mapping[str, str],
    output: Any,
    row_id: str | None,
    fractions: SplitFractions,
    annotations: Mapping[str, str] | None = None,
) -> Row:
    """A row from normalised inputs; without an id of its own it gets one from its input."""
    fields = dict(inputs)
    input_id = content_id(fields)
    key_id = hashlib.sha256(input_key(fields).encode("utf-8", "surrogatepass")).hexdigest()
    split = assign_split(fields, fractions)
    return Row(row_id or key_id[:16], fields, output, split, input_id, dict(annotations or {}))


def dataset_version_id(rows: Iterable[Row]) -> str:
    """SHA-256 over the rows' content, in an order that does not depend on the source's."""
    digest = hashlib.sha256()
    for line in sorted(canonical_json(row.content()) for row in rows):
        digest.update(line.encode("utf-8", "surrogatepass"))
        digest.update(b"\n")
    return digest.hexdigest()
