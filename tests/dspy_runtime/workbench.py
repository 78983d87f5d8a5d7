"""Optimization runs as they are made: task file, dataset, database, core and a provider on loopback.

As a program it runs one, to be killed: `python workbench.py <folder> <provider's URL> <cap> <cache?> <optimizer>`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml
from dspy_runtime.scripted import LABELS, WORDS, ScriptedModel, is_proposal, label_of
from evaluation.scripted_judge import part
from pydantic import TypeAdapter
from servers.billing import Tariff
from upath import UPath

from domain.dataset import DatasetVersion, Row, Split
from domain.identity import content_id
from domain.message import Message
from domain.optimization import OptimizerSpec
from domain.task import Task
from resources.catalog.catalog import Catalog
from resources.catalog.snapshot import take_snapshot
from resources.database import schema
from resources.database.repositories import prompt_versions
from resources.database.repositories.optimization_runs import OptimizationRunRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database, open_database
from resources.dspy_runtime.progress import Progress
from resources.llm import CoreSettings, open_client_sync
from resources.llm.types import Request
from resources.optimization.run_optimization import OptimizationRun
from resources.storage.datasets import DatasetStore

TASK = "tickets"
# The writer is cheap: the reserve of one proposal, 4,096 tokens of answer, must be small beside half a run's cost.
PRICES = {
    "scripted": ("0.40", "1.60"),
    "teller": ("0.40", "1.60"),
    "writer": ("0.03", "0.05"),
    "judge": ("0.20", "0.80"),
    "vectors": ("0.10", "0"),
}
TARIFFS = {name: Tariff(*price) for name, price in PRICES.items()}
JUDGE: dict[str, Any] = {
    "kind": "judge",
    "model": "openai/judge",
    "rubric": "A good answer is the right label.",
    "parameters": {"temperature": 0.0, "max_output_tokens": 40},
}
CHOICE_LABEL: dict[str, Any] = {"kind": "choice_label"}
SIMILARITY: dict[str, Any] = {"kind": "embedding_similarity", "model": "embeddings/vectors", "threshold": 0.85}
OPTIMIZERS: TypeAdapter[OptimizerSpec] = TypeAdapter(OptimizerSpec)


class Wordy(ScriptedModel):
    """Writes at the length people's models write."""

    def rule(self, request: Request) -> str:
        return f"{super().rule(request)}. {'Mind every word of the ticket. ' * 30}"


def judges(body: dict[str, Any]) -> str:
    """Full marks for the right label, which it knows; its reason is a canary of its own."""
    right = label_of(next(word for word in WORDS if word in part(body, "task_input")))
    grade = 5 if part(body, "answer") == right else 2
    return json.dumps({"reason": f"reason-{right}", "grade": grade})


def answers(body: dict[str, Any]) -> str:
    """The scripted model and judge; what they say is a function of what they are asked: a run can be repeated."""
    if body["model"] == "judge":
        return judges(body)
    request = Request(
        model=f"openai/{body['model']}",
        messages=tuple(Message(one["role"], one["content"]) for one in body["messages"]),
        temperature=body["temperature"],
    )
    if body["model"] == "teller":  # its contract does not name the labels; it knows them, whatever the instruction
        first = Message("system", f"{request.messages[0].content} {' '.join(LABELS)}")
        request = replace(request, messages=(first, *request.messages[1:]))
    drawn = int(content_id(body)[:6], 16) if request.temperature else None
    said = Wordy().text(Request(request.model, request.messages, temperature=request.temperature, sample=drawn))
    return told(said, body) if body["model"] == "teller" else said


def told(said: str, body: dict[str, Any]) -> str:
    """A label in a sentence about the ticket, near the expected text where it is the right one.

    Free text never comes twice the same: one word differs with whatever the prompt says.
    """
    label, question = said.split()[0], body["messages"][-1]["content"].removeprefix("Ticket: ")
    return f"{label} for w{content_id(body)[:3]} {question}" if label in LABELS else said


def purpose_of(body: dict[str, Any]) -> str:
    """What a plan calls such a request."""
    if "input" in body:
        return "vectors"
    if body["model"] == "judge":
        return "judge"
    messages = tuple(Message(one["role"], one["content"]) for one in body["messages"])
    return "proposals" if is_proposal(Request("openai/m", messages)) else "task"


@dataclass(frozen=True)
class Workbench:
    """A folder with a task and a database; `cap` bounds a run, in USD.

    Where the metric is a similarity, answers are texts: the label and the row.
    """

    folder: Path
    url: str
    optimizer: OptimizerSpec
    cap: str = "10"
    cache: bool = True
    rows: int = 60
    steps: int = 1
    metric: dict[str, Any] = field(default_factory=lambda: CHOICE_LABEL)

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.folder / 'promptory.db'}"

    @property
    def storage(self) -> UPath:
        return UPath(self.folder / "storage")

    def set_up(self) -> Workbench:
        """Files, schema, dataset and prompt."""
        (self.folder / "catalog" / "tasks").mkdir(parents=True)
        lines = [f"canary-{number:03d} about {WORDS[number * 7 % len(WORDS)]}" for number in range(self.rows)]
        rows = "\n".join(["text,label", *(f"{line},{self._expected(line)}" for line in lines)])
        (self.folder / "catalog" / "rows.csv").write_text(rows + "\n")
        (self.folder / "catalog" / "tasks" / f"{TASK}.yaml").write_text(yaml.safe_dump(self._task()))
        with self.database() as database:
            schema.upgrade(database)
            entry = Catalog(self.folder / "catalog").get(TASK)
            store = DatasetStore(self.storage)
            take_snapshot(entry, UPath(self.folder / "landing"), database, store, datetime.now(UTC))
        return self

    @property
    def _compares_texts(self) -> bool:
        return self.metric["kind"] == "embedding_similarity"

    def _expected(self, line: str) -> str:
        label = label_of(line.split()[-1])
        return f"{label} for {line}" if self._compares_texts else label

    def _task(self) -> dict[str, Any]:
        step = {
            "name": "label",
            "system_prompt": "Sort the ticket: billing, delivery or refund.",
            "output_prompt": "Ticket: {{ text }}",
            "output": {"kind": "text"} if self._compares_texts else {"kind": "choice", "choices": list(LABELS)},
        }
        first = {"name": "topic", "system_prompt": "Name the topic.", "output_prompt": "{{ text }}"}
        second = {**step, "output_prompt": "Ticket: {{ topic }}, {{ text }}"}
        return {
            "name": TASK,
            "dataset": {
                "source": "../rows.csv",
                "inputs": ["text"],
                "output": "label",
                "split": {"seed": 2, "train": 0.4, "dev": 0.3, "test": 0.3},
            },
            "prompt": {
                "model": "openai/teller" if self._compares_texts else "openai/scripted",
                "parameters": {"temperature": 0.0, "max_output_tokens": 16},
                "steps": [step] if self.steps == 1 else [first, second],
            },
            "evaluators": [self.metric],
            "optimizer": self.optimizer.model_dump(mode="json"),
            "budget": {"run_usd": self.cap},
        }

    def database(self) -> Opened:
        return Opened(open_database(self.database_url))

    def settings(self, task: Task, run_id: str) -> CoreSettings:
        return CoreSettings.parse(
            {
                "ledger": self.database_url,
                "state": f"sqlite:///{self.folder / 'state.db'}",
                "endpoints": {name: {"base_url": self.url, "api_key": "test-key"} for name in ("openai", "embeddings")},
                "prices": {
                    f"{'embeddings' if name == 'vectors' else 'openai'}/{name}": {
                        "input_per_million": one,
                        "output_per_million": other,
                    }
                    for name, (one, other) in PRICES.items()
                },
                "cache": {"enabled": self.cache},
                "budgets": task.caps(run_id),
            }
        )

    def dataset(self, database: Database) -> DatasetVersion:
        entry = Catalog(self.folder / "catalog").get(TASK)
        store = DatasetStore(self.storage)
        return take_snapshot(entry, UPath(self.folder / "landing"), database, store, datetime.now(UTC)).version

    def run(self, use: Callable[[OptimizationRun, CoreSettings, Database], Any] | None = None) -> Any:
        """Run (on); the record, or what `use` makes of the run."""
        with self.database() as database:
            task = Catalog(self.folder / "catalog").get(TASK).task
            with database.session() as session:
                prompt = prompt_versions.register(
                    session, TASK, task.prompt.version(), created_by="author", now=datetime.now(UTC)
                )
            dataset = self.dataset(database)
            with database.session(read_only=True) as session:
                run = OptimizationRun(task, prompt, dataset, session)
            return (use or self.execute)(run, self.settings(task, run.id), database)

    def execute(
        self, run: OptimizationRun, settings: CoreSettings, database: Database, progress: Progress | None = None
    ) -> OptimizationRunRecord:
        return run.execute(
            database, self.storage, lambda: open_client_sync(settings), lambda: datetime.now(UTC), progress
        )

    def version(self, reference: str) -> PromptVersionRecord:
        with self.database() as database, database.session(read_only=True) as session:
            return prompt_versions.get(session, TASK, reference)

    def split(self, split: Split) -> list[Row]:
        with self.database() as database:
            return DatasetStore(self.storage).read(self.dataset(database), [split])


class Opened:
    """A database for a `with` block."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> Database:
        return self._database

    def __exit__(self, *_: object) -> None:
        self._database.dispose()


def command(bench: Workbench) -> list[str]:
    """The program that runs (on) this bench."""
    spec = json.dumps(bench.optimizer.model_dump(mode="json"))
    return [sys.executable, __file__, str(bench.folder), bench.url, bench.cap, str(int(bench.cache)), spec]


if __name__ == "__main__":
    folder, url, cap, cache, spec = sys.argv[1:]
    optimizer = OPTIMIZERS.validate_json(spec)
    Workbench(Path(folder), url, optimizer, cap=cap, cache=bool(int(cache))).run()
