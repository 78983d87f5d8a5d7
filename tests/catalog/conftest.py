"""A task folder to fill with files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from domain.task import Task


@pytest.fixture
def spec() -> dict:
    """A small classification task as its YAML says it."""
    return {
        "name": "colours",
        "dataset": {"source": "rows.csv", "inputs": ["text"], "output": "label", "split": {"seed": 1}},
        "prompt": {
            "model": "offline/nearest",
            "system_prompt": "Name the colour.",
            "output_prompt": "Text: {{ text }}",
            "output": {"kind": "choice", "choices": ["red", "blue"]},
        },
        "evaluators": [{"kind": "choice_label"}],
    }


@pytest.fixture
def task(spec: dict) -> Task:
    """The same, validated."""
    return Task.model_validate(spec)


@pytest.fixture
def write_task(tmp_path: Path) -> Callable[[dict | str], Path]:
    """Writes a task file below a catalog folder."""

    def write(content: dict | str, name: str = "colours") -> Path:
        path = tmp_path / "catalog" / "tasks" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return path

    return write
