"""A catalog, a home and settings of a test's own, the loop run on them, and what came of it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from servers.billing import Tariff
from servers.openai_server import OpenAIServer

from orchestration.environments import Environment
from orchestration.instance import open_instance
from orchestration.launch import run_assets
from orchestration.run_report import RunReport
from resources.database.schema import upgrade
from resources.database.session import Database, open_database
from resources.llm import open_client_sync

CHECKOUT = Path(__file__).parents[2]
TASK = "crates"
INGEST = ("dataset", "prompt_version")
LOOP = (*INGEST, "optimization_run", "evaluation", "promotion")
OPTIMIZE = (*INGEST, "optimization_run")
EVALUATE = (*INGEST, "evaluation", "promotion")
KEY_VARIABLE = "LOOPBACK_KEY"
PRICE = {"input_per_million": "0.15", "output_per_million": "0.60"}
TARIFFS = {"scripted": Tariff(PRICE["input_per_million"], PRICE["output_per_million"])}

LABELS = ("attic", "cellar", "shed")
MARKS = ("anchor", "bellows", "candle", "drum", "easel", "flagon")


@dataclass(frozen=True)
class Example:
    """A labelled row. Its token is in its input and nowhere else."""

    number: int

    @property
    def token(self) -> str:
        return "tok" + hashlib.sha256(f"row {self.number}".encode()).hexdigest()[:12]

    @property
    def mark(self) -> str:
        return MARKS[self.number % len(MARKS)]

    @property
    def text(self) -> str:
        return f"Crate {self.token} holds one {self.mark}"

    @property
    def label(self) -> str:
        return label_of(self.mark)


def label_of(mark: str) -> str:
    """Which label a mark has: two marks each, no product code knows which."""
    return LABELS[(MARKS.index(mark) * 5 + 1) % len(LABELS)]


def csv_text(examples: Sequence[Example]) -> str:
    """The examples as a dataset file."""
    return "\n".join(["text,label", *(f"{one.text},{one.label}" for one in examples)]) + "\n"


def task_values(model: str = "offline/nearest", **changes: Any) -> dict[str, Any]:
    """A task file over these examples; `changes` replace whole sections."""
    return {
        "name": TASK,
        "dataset": {
            "source": "../datasets/crates.csv",
            "inputs": ["text"],
            "output": "label",
            "split": {"seed": 3, "train": 0.4, "dev": 0.25, "test": 0.35},
        },
        "prompt": {
            "model": model,
            "parameters": {"temperature": 0.0, "max_output_tokens": 8},
            "system_prompt": "Say where the crate belongs.",
            "output_prompt": "Text: {{ text }}",
            "output": {"kind": "choice", "choices": list(LABELS)},
        },
        "evaluators": [{"kind": "choice_label"}],
        "optimizer": {
            "kind": "bootstrap_random_search",
            "candidates": 2,
            "max_bootstrapped": 2,
            "max_labeled": 16,
            "reference_draws": 1,
        },
        "budget": {"total_usd": "1.00", "run_usd": "0.50"},
        **changes,
    }


@dataclass(frozen=True)
class Workplace:
    """A folder with `catalog/` and `promptory.yaml`, and a home beside them."""

    root: Path
    home_name: str = "home"
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        return self.root / self.home_name

    @property
    def landing(self) -> Path:
        return self.home / "landing" / TASK

    @property
    def source(self) -> Path:
        return self.root / "catalog" / "datasets" / "crates.csv"

    @property
    def environment(self) -> Environment:
        return Environment(home=self.home, catalog=self.root / "catalog", config=self.root / f"{self.home_name}.yaml")

    def variables(self) -> dict[str, str]:
        """The environment of a process that works here."""
        own = {
            "PROMPTORY_HOME": str(self.home),
            "PROMPTORY_CATALOG": str(self.root / "catalog"),
            "PROMPTORY_CONFIG": str(self.root / f"{self.home_name}.yaml"),
            KEY_VARIABLE: "test-key",
        }
        return {**{name: value for name, value in os.environ.items() if not _is_ours(name)}, **own}

    def write_rows(self, examples: Sequence[Example]) -> None:
        self.source.parent.mkdir(parents=True, exist_ok=True)
        self.source.write_text(csv_text(examples), encoding="utf-8")

    def land(self, name: str, examples: Sequence[Example]) -> None:
        self.landing.mkdir(parents=True, exist_ok=True)
        (self.landing / name).write_text(csv_text(examples), encoding="utf-8")

    def write_task(self, values: Mapping[str, Any], file: str | None = None) -> Path:
        path = self.root / "catalog" / "tasks" / (file or f"{values['name']}.yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(dict(values), sort_keys=False), encoding="utf-8")
        return path

    def prepare(self) -> Workplace:
        """Settings file, home and database, ready for the first run."""
        self.home.mkdir(parents=True, exist_ok=True)
        self.environment.config.write_text(yaml.safe_dump(self.settings), encoding="utf-8")
        with self.database() as database:
            upgrade(database)
        return self

    def beside(self, home_name: str, settings: dict[str, Any] | None = None) -> Workplace:
        """Another home over the same catalog."""
        return Workplace(self.root, home_name, self.settings if settings is None else settings).prepare()

    @contextmanager
    def database(self) -> Iterator[Database]:
        database = open_database(self.environment.database)
        try:
            yield database
        finally:
            database.dispose()

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with open_instance(self.environment) as instance:
            yield instance

    def run(self, *selection: str, task: str = TASK) -> RunReport:
        """Assets, in this process."""
        return run_assets(self.environment, task, selection or LOOP)

    def command(self, *arguments: str) -> dict[str, Any]:
        """The `promptory` command in a process of its own; its JSON."""
        program = [sys.executable, "-c", "from orchestration.cli import main; main()", *arguments, "--json"]
        done = subprocess.run(program, cwd=self.root, env=self.variables(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout
        return json.loads(done.stdout)


@dataclass(frozen=True)
class Money:
    """What the state store says of the day's budget; of both days, where midnight fell into the test."""

    settled_nano_usd: int
    ambiguous_nano_usd: int
    reserved_nano_usd: int


def money_of_days(place: Workplace) -> Money:
    """Opening the core for it books what dead processes left open, as ambiguous."""
    with open_client_sync(place.environment.core_settings()) as client:
        days = [one for one in client.budgets() if one.scope.startswith("day:")]
    return Money(
        sum(one.settled_nano_usd for one in days),
        sum(one.ambiguous_nano_usd for one in days),
        sum(one.reserved_nano_usd for one in days),
    )


def over_http(server: OpenAIServer, **more: Any) -> dict[str, Any]:
    """Settings that reach `server` as the endpoint of `openai/scripted`, the key by name only."""
    return {
        "endpoints": {"openai": {"base_url": server.base_url, "api_key": f"${{{KEY_VARIABLE}}}"}},
        "prices": {"openai/scripted": PRICE},
        "budgets": {"day": "5.00"},
        **more,
    }


def _is_ours(name: str) -> bool:
    return name.startswith("PROMPTORY_") or name in ("DAGSTER_HOME", "OPENAI_API_KEY", "OPENAI_BASE_URL")
