"""What can be wrong with a dataset version: pure findings, shown as asset checks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from domain.contracts import ChoiceContract, OutputContract
from domain.dataset import Row, Split, input_key
from resources.catalog.ingest import QuarantinedRow

WORDS = re.compile(r"\w+")
RARE_LABEL_ROWS = 5
MAX_IMBALANCE = 20.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result: passed or not, and a sentence with numbers."""

    passed: bool
    sentence: str


def schema_finding(quarantined: Sequence[QuarantinedRow], rows: int) -> Finding:
    """Whether every row could be used."""
    invalid = [row for row in quarantined if row.kind == "invalid"]
    if not invalid:
        return Finding(True, f"All {rows} rows have the declared columns and answers.")
    first = invalid[0]
    return Finding(False, f"{len(invalid)} rows were quarantined; the first: {first.file}:{first.row} {first.problem}")


def duplicates_finding(quarantined: Sequence[QuarantinedRow]) -> Finding:
    """Whether a row stood more than once."""
    duplicates = [row for row in quarantined if row.kind == "duplicate"]
    if not duplicates:
        return Finding(True, "No row stands twice.")
    return Finding(False, f"{len(duplicates)} repeated rows were left out; the first: row {duplicates[0].row}.")


def leakage_finding(rows: Sequence[Row]) -> Finding:
    """Whether an input, case and white space apart, is in more than one split. Corrupt data: it blocks."""
    splits: dict[str, set[Split]] = defaultdict(set)
    for row in rows:
        splits[input_key(row.inputs)].add(row.split)
    leaked = sum(len(found) > 1 for found in splits.values())
    if leaked:
        return Finding(False, f"{leaked} inputs are in more than one split.")
    return Finding(True, "No input is in two splits.")


def near_leakage_finding(rows: Sequence[Row]) -> Finding:
    """Whether a test row differs from a train or dev row by punctuation only."""
    splits: dict[str, set[Split]] = defaultdict(set)
    for row in rows:
        splits[" ".join(WORDS.findall(input_key(row.inputs)))].add(row.split)
    leaked = sum(Split.TEST in found and len(found) > 1 for found in splits.values())
    if leaked:
        return Finding(False, f"{leaked} test inputs differ from a train or dev row by punctuation only.")
    return Finding(True, "No test input is a train or dev row with other punctuation.")


def balance_finding(rows: Sequence[Row], contract: OutputContract) -> Finding:
    """Whether every declared label has rows to learn from and none dwarfs another."""
    if not isinstance(contract, ChoiceContract):
        return Finding(True, "The task has no labels to balance.")
    train = Counter(str(row.output) for row in rows if row.split is Split.TRAIN)
    scarce = [label for label in contract.choices if train[label] < RARE_LABEL_ROWS]
    if scarce:
        shown = ", ".join(scarce[:5])
        return Finding(False, f"{len(scarce)} labels have fewer than {RARE_LABEL_ROWS} train rows: {shown}.")
    ratio = max(train.values()) / min(train.values())
    if ratio > MAX_IMBALANCE:
        return Finding(False, f"The largest label has {ratio:.0f} times the train rows of the smallest.")
    return Finding(True, f"Every label has train rows; largest to smallest is {ratio:.1f}.")
