"""Scores of stored evaluations, row by row."""

from __future__ import annotations

from collections.abc import Sequence

from upath import UPath

from domain.errors import NotFoundError
from domain.statistics.intervals import Interval, mean_interval
from resources.database.repositories.evaluations import EvaluationRecord
from resources.storage.parquet import read_table
from resources.storage.reading import is_there


def read_scores(root: UPath, record: EvaluationRecord) -> dict[str, float]:
    """The metric's score (0 to 1) by input id; rows without a score are absent.

    Raises:
        NotFoundError: the examples' file is gone.
    """
    path = root / record.storage_path
    if not is_there(path):
        raise NotFoundError(
            "the examples of an evaluation are gone", file=str(path), mend="restore the file, or evaluate again."
        )
    table = read_table(path, columns=["input_id", "score"])
    scores = zip(table["input_id"].to_pylist(), table["score"].to_pylist(), strict=True)
    return {input_id: score for input_id, score in scores if score is not None}


def mean_over_draws(root: UPath, records: Sequence[EvaluationRecord]) -> Interval | None:
    """The mean of several prompts' scores on the same rows, with the interval over the rows; None without any.

    Each row counts once, with its mean over the draws: rows are the sample, not draws times rows. A row counts where
    every draw has a score for it.

    Raises:
        NotFoundError: the examples of one are gone.
    """
    draws = [read_scores(root, record) for record in records]
    rows = set[str]() if not draws else set(draws[0]).intersection(*draws)
    if not rows:
        return None
    return mean_interval([sum(draw[row] for draw in draws) / len(draws) for row in sorted(rows)])
