"""A home and a catalog of its own for each test, and the command run in this process."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestration.cli.application import app

LABELS = ("billing", "delivery", "refund")
SENTENCES = {
    "billing": "My card was charged twice for invoice number {}",
    "delivery": "The parcel {} has not arrived at my door",
    "refund": "I want my money back for order {} please",
}
TASK_FILE = """\
name: tickets
dataset:
  source: {source}
  inputs: [text]
  output: label
  max_quarantined: 0
prompt:
  model: offline/nearest
  parameters: {{max_output_tokens: 16}}
  system_prompt: Choose the team.
  output_prompt: "Message: {{{{ text }}}}"
  output: {{kind: choice, choices: [billing, delivery, refund]}}
evaluators: [{{kind: choice_label}}]
optimizer: {{kind: bootstrap_random_search, candidates: 1, max_bootstrapped: 2, max_labeled: 6}}
"""


@dataclass(frozen=True)
class Outcome:
    """What a command printed and its exit code."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Workshop:
    """An empty folder with a catalog, and the command."""

    root: Path

    @property
    def tasks(self) -> Path:
        return self.root / "catalog" / "tasks"

    def run(self, *arguments: str) -> Outcome:
        result = CliRunner().invoke(app, list(arguments))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Outcome(result.exit_code, result.stdout, result.stderr)

    def write_rows(self, rows: int = 30) -> Path:
        path = self.root / "catalog" / "datasets" / "tickets.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [f"{SENTENCES[LABELS[i % 3]].format(i)},{LABELS[i % 3]}" for i in range(rows)]
        path.write_text("\n".join(["text,label", *lines]) + "\n", encoding="utf-8")
        return path

    def write_task(self, change: Callable[[str], str] = lambda text: text) -> Path:
        self.write_rows()
        path = self.tasks / "tickets.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(change(TASK_FILE.format(source="../datasets/tickets.csv")), encoding="utf-8")
        return path


@pytest.fixture(scope="session")
def loop_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test that needs a loop leaves it to the others."""
    return tmp_path_factory.mktemp("looped")


@pytest.fixture
def looped(workshop: Workshop, loop_once: Path) -> Workshop:
    """A workshop whose task was optimized and evaluated."""
    if not (loop_once / "home").exists():
        workshop.write_task()
        for command in ("optimize", "evaluate"):
            assert workshop.run(command, "tickets").code == 0
        shutil.copytree(workshop.root, loop_once, dirs_exist_ok=True)
    shutil.copytree(loop_once, workshop.root, dirs_exist_ok=True)
    return workshop


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    for name in ("DAGSTER_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    for name in ("LANDING", "STORAGE", "DATABASE_URL", "STATE_URL", "CONFIG"):
        monkeypatch.delenv(f"PROMPTORY_{name}", raising=False)
    monkeypatch.setenv("PROMPTORY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PROMPTORY_CATALOG", str(tmp_path / "catalog"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "catalog" / "tasks").mkdir(parents=True)
    return Workshop(tmp_path)
