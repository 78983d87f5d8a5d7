"""The task that banking77 is measured with, and the rows it is made of. Everything that decides the result stands here.

The rows are no part of the product: a folder with `train.csv` and `test.csv` (columns text and category) is named by
whoever measures. Both files become one dataset, since Promptory deals rows to its splits by their content.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

NAME = "banking77"
FILES = ("train.csv", "test.csv")
COLUMNS = ("text", "category")


DATA_VARIABLE = "PROMPTORY_TEST_DATA"
DATA_HELP = f"folder with train.csv and test.csv of banking77 (default: ${DATA_VARIABLE}/banking77)"


class DataMissingError(Exception):
    """The folder does not hold the files, or a file not the columns; says which."""


@dataclass(frozen=True)
class Design:
    """What is fixed before a row is looked at.

    Attributes:
        per_label: demonstrations, over all labels, as a multiple of the number of labels.
        candidates: demonstration sets drawn besides DSPy's three plain ones.
        dev_rows: rows of dev that candidates are scored on.
        draws: prompts with random demonstrations beside the winner's.
        run_usd: cap of the optimization run, in the unit of account of offline/nearest.
    """

    per_label: int = 2
    candidates: int = 12
    dev_rows: int = 500
    draws: int = 3
    seed: int = 0
    split_seed: int = 77
    alpha: float = 0.05
    run_usd: str = "10.00"


def data_folder() -> Path | None:
    """Where the environment says the rows are; None where it does not."""
    named = os.environ.get(DATA_VARIABLE)
    return Path(named) / NAME if named else None


def read_rows(folder: Path) -> list[tuple[str, str]]:
    """(text, label) of both files, in their order.

    Raises:
        DataMissingError: a file or a column is missing.
    """
    rows: list[tuple[str, str]] = []
    for name in FILES:
        path = folder / name
        if not path.is_file():
            raise DataMissingError(f"{path} is missing: name a folder that holds {' and '.join(FILES)} of banking77.")
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if not set(COLUMNS) <= set(reader.fieldnames or ()):
                raise DataMissingError(f"{path} has no columns {' and '.join(COLUMNS)}.")
            rows += [(row["text"], row["category"]) for row in reader]
    return rows


def task_values(labels: list[str], design: Design) -> dict[str, Any]:
    """The task file. Its prompt names every label: an optimised one must beat a baseline that knows what is asked."""
    shown = design.per_label * len(labels)
    return {
        "name": NAME,
        "description": "Sort the question of a bank's customer by what it is about.",
        "dataset": {
            "source": f"../datasets/{NAME}.csv",
            "inputs": ["text"],
            "output": "category",
            "split": {"seed": design.split_seed, "train": 0.5, "dev": 0.2, "test": 0.3},
        },
        "prompt": {
            "model": "offline/nearest",
            "parameters": {"temperature": 0.0, "max_output_tokens": 32},
            "system_prompt": "A customer of a bank asks a question in its app. Say what the question is about.",
            "output_prompt": "Question: {{ text }}",
            "output": {"kind": "choice", "choices": labels},
        },
        "evaluators": [{"kind": "choice_label"}],
        "optimizer": {
            "kind": "bootstrap_random_search",
            "seed": design.seed,
            "candidates": design.candidates,
            "max_bootstrapped": max(1, shown // 2),
            "max_labeled": shown,
            "dev_rows": design.dev_rows,
            "reference_draws": design.draws,
        },
        "gate": {"alpha": design.alpha},
        "budget": {"run_usd": design.run_usd},
    }


def write_catalog(catalog: Path, rows: list[tuple[str, str]], design: Design) -> None:
    """Task file and dataset below `catalog`."""
    for name in ("tasks", "datasets"):
        (catalog / name).mkdir(parents=True, exist_ok=True)
    with (catalog / "datasets" / f"{NAME}.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([COLUMNS, *rows])
    values = task_values(sorted({label for _, label in rows}), design)
    (catalog / "tasks" / f"{NAME}.yaml").write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
