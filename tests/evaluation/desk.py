"""A database, a storage root and a provider of a test's own, and evaluations made with them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from servers.openai_server import OpenAIServer
from upath import UPath

from domain.dataset import DatasetVersion, Row, Split, SplitFractions, dataset_version_id, make_row
from domain.prompt import PromptVersion
from domain.task import Task
from resources.database.repositories import prompt_versions
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.schema import upgrade
from resources.database.session import Database, open_database
from resources.evaluation.decide import Contest, Decider
from resources.evaluation.evaluate import Evaluation, EvaluationEngine
from resources.llm import CoreSettings, open_client
from resources.storage.datasets import DatasetStore

if TYPE_CHECKING:
    import pandas as pd

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
VECTOR_PRICE = {"input_per_million": "0.02", "output_per_million": "0"}
PRICE = {"input_per_million": "0.15", "output_per_million": "0.60"}
LABELS = ("shed", "attic")


def task_of(evaluators: Sequence[dict[str, Any]], **changes: Any) -> Task:
    """A task whose model is the loopback server's `scripted`."""
    prompt: dict[str, Any] = {
        "model": "openai/scripted",
        "parameters": {"max_output_tokens": 16},
        "system_prompt": "Where does it go?",
        "output_prompt": "Text: {{ text }}",
        "output": {"kind": "choice", "choices": list(LABELS)},
    }
    values: dict[str, Any] = {
        "name": "crates",
        "dataset": {"source": "x.csv", "inputs": ["text"], "output": "label"},
        "prompt": {**prompt, **changes.pop("prompt", {})},
        "evaluators": list(evaluators),
        **changes,
    }
    return Task.model_validate(values)


def rows_of(count: int, first: int = 0, label: str = LABELS[0], **fractions: float) -> list[Row]:
    """Rows `crate <number>`; all on dev and test, half each, unless told otherwise."""
    splits = SplitFractions(**{"train": 0.0, "dev": 0.5, "test": 0.5, **fractions})
    return [
        make_row({"text": f"crate {number}"}, label, f"r{number}", splits) for number in range(first, first + count)
    ]


@dataclass
class Desk:
    """Evaluations of one home against one provider, without the response cache."""

    folder: Path
    server: OpenAIServer
    settings: dict[str, Any] = field(default_factory=dict)
    concurrency: int = 16

    def __post_init__(self) -> None:
        self.database: Database = open_database(self.database_url)
        upgrade(self.database)
        self.root = UPath(self.folder / "storage")

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.folder / 'promptory.db'}"

    def core(self) -> CoreSettings:
        values: dict[str, Any] = {
            "state": f"sqlite:///{self.folder / 'state.db'}",
            "ledger": self.database_url,
            "endpoints": {"openai": self.server.endpoint, "embeddings": self.server.endpoint},
            "budgets": {"day": "5.00"},
            "prices": {"openai/scripted": PRICE, "openai/judge": PRICE, "embeddings/vectors": VECTOR_PRICE},
            "cache": {"enabled": False},
        }
        return CoreSettings.parse({**values, **self.settings})

    def dataset(self, rows: Sequence[Row], task: str = "crates") -> DatasetVersion:
        ordered = sorted(rows, key=lambda row: row.input_id)
        version_id = dataset_version_id(ordered)
        path = DatasetStore(self.root).write(version_id, ordered)
        return DatasetVersion(id=version_id, task=task, version=1, storage_path=path, rows=len(rows), split_rows={})

    def register(self, task: Task, prompt: PromptVersion) -> PromptVersionRecord:
        with self.database.session() as session:
            return prompt_versions.register(session, task.name, prompt, created_by="test", now=NOW)

    def evaluate(self, task: Task, rows: Sequence[Row], split: Split = Split.DEV, **options: Any) -> Evaluation:
        async def run() -> Evaluation:
            async with open_client(self.core()) as llm:
                engine = self.engine(task, self.dataset(rows), llm, **options)
                return await engine.evaluate(task.prompt.version(), split)

        return asyncio.run(run())

    def contest(
        self, task: Task, rows: Sequence[Row], production: PromptVersion, candidate: PromptVersion, **options: Any
    ) -> Contest:
        async def run() -> Contest:
            async with open_client(self.core()) as llm:
                dataset = self.dataset(rows)
                engine = self.engine(task, dataset, llm, **options)
                decider = Decider(task, dataset, engine, self.database, lambda: NOW)
                return await decider.run(self.register(task, production), [self.register(task, candidate)])

        return asyncio.run(run())

    def engine(self, task: Task, dataset: DatasetVersion, llm: Any, **options: Any) -> EvaluationEngine:
        return EvaluationEngine(
            task=task,
            dataset=dataset,
            database=self.database,
            root=self.root,
            llm=llm,
            clock=lambda: NOW,
            concurrency=self.concurrency,
            **options,
        )

    def examples(self, evaluation: Evaluation) -> pd.DataFrame:
        import pandas as pd  # here, so that processes that evaluate and are killed start faster

        return pd.read_parquet(self.folder / "storage" / evaluation.record.storage_path)
