"""What can be wrong with a dataset version: pure findings, shown as asset checks."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from domain.contracts import ChoiceContract, OutputContract
from domain.dataset import DatasetVersion, Row, Split, input_key
from domain.split_moves import SplitMoves
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


def leakage_finding(rows: Sequence[Row], read: Collection[str]) -> Finding:
    """Whether a test row looks the same to the prompt as a train or dev row, case and white space apart. It blocks.

    Args:
        read: the fields that the prompt reads; rows that differ in other columns only are one question to a model.
    """
    leaked = _leaked(rows, lambda row: input_key(_shown(row, read)))
    if not leaked:
        return Finding(True, "No test row looks the same to the prompt as a train or dev row.")
    tested = sum(row.split is Split.TEST for row in rows)
    same = f"{leaked} of {tested} test rows look the same to the prompt as train or dev rows"
    unread = ", ".join(name for name in rows[0].inputs if name not in read)
    if not unread:
        return Finding(False, f"{same}.")
    mend = f"Take {unread} out of dataset.inputs, or let the prompt read it."
    return Finding(False, f"{same}: it does not read {unread}. {mend}")


def near_leakage_finding(rows: Sequence[Row], read: Collection[str]) -> Finding:
    """Whether a test row differs from a train or dev row, as the prompt shows them, by punctuation only.

    Args:
        read: the fields that the prompt reads.
    """
    leaked = _leaked(rows, lambda row: " ".join(WORDS.findall(input_key(_shown(row, read)))))
    if leaked:
        return Finding(False, f"{leaked} test rows differ from a train or dev row by punctuation at most.")
    return Finding(True, "No test row is a train or dev row with other punctuation.")


def _shown(row: Row, read: Collection[str]) -> dict[str, str]:
    return {name: text for name, text in row.inputs.items() if name in read}


def _leaked(rows: Sequence[Row], key_of: Callable[[Row], str]) -> int:
    """How many test rows have the key of a row that is not sealed."""
    open_keys = {key_of(row) for row in rows if row.split is not Split.TEST}
    return sum(key_of(row) in open_keys for row in rows if row.split is Split.TEST)


def sealed_test_finding(earlier: DatasetVersion | None, moves: SplitMoves) -> Finding:
    """Whether rows came into `test` or left it since the version `earlier`."""
    if earlier is None:
        return Finding(True, "There is no other version whose rows prompts may have learned from.")
    if not moves.any:
        return Finding(True, f"No row of dataset version {earlier.version} has come into test or left it.")
    return Finding(
        False,
        f"Since dataset version {earlier.version}, {moves.into_test} rows have come from train or dev into test and "
        f"{moves.out_of_test} have left it: prompts made before may have learned from what is test now. Put "
        "dataset.inputs and dataset.split back as they were; where that is not it, optimize again from the authored "
        "prompt, and compare no test scores across the two versions.",
    )


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
