"""A task in production on a database of its own, rows to be answered, and a provider that bills by itself."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from servers.billing import Tariff
from servers.openai_batch_server import OpenAIBatchServer
from servers.openai_server import OpenAIServer
from upath import UPath

from domain.batch.options import BatchOptions
from domain.task import Task
from resources.batch_inference.intake import Intake, TakenIn, Wish
from resources.batch_inference.reading import BatchResults
from resources.batch_inference.sources import FileSource
from resources.batch_inference.worker import open_worker
from resources.database.repositories import aliases, prompt_versions, tasks
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database, open_database
from resources.llm import CoreSettings, open_client

PRICE = {"input_per_million": "0.15", "output_per_million": "0.60"}
TARIFFS = {"scripted": Tariff(PRICE["input_per_million"], PRICE["output_per_million"])}
NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
LABELS = ("attic", "cellar", "shed")


def task_of(model: str = "openai/scripted", **changes: Any) -> Task:
    """A task whose prompt asks for one of three labels."""
    return Task.model_validate(
        {
            "name": "crates",
            "dataset": {"source": "crates.csv", "inputs": ["text"], "output": "label"},
            "prompt": {
                "model": model,
                "parameters": {"max_output_tokens": 8},
                "system_prompt": "Say where the crate belongs.",
                "output_prompt": "Text: {{ text }}",
                "output": {"kind": "choice", "choices": list(LABELS)},
            },
            "evaluators": [{"kind": "choice_label"}],
            **changes,
        }
    )


def number_in(body: dict[str, Any]) -> int:
    """The number of the crate that a request is about."""
    return int(body["messages"][-1]["content"].rpartition(" ")[2])


def label_of(number: int) -> str:
    """What the provider's model says of a crate."""
    return LABELS[number * 7 % 3]


def write_csv(path: Path, numbers: Sequence[int]) -> Path:
    """A file of crates, with a key of their own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("crate,text\n" + "".join(f"c{one},Crate number {one}\n" for one in numbers), encoding="utf-8")
    return path


@dataclass
class Floor:
    """Where batches are worked on."""

    folder: Path
    database: Database
    server: OpenAIServer
    task: Task
    ledger_url: str
    options: BatchOptions = field(default_factory=lambda: BatchOptions(key="crate", concurrency=8, chunk_rows=10))

    _asked: threading.Event = field(default_factory=threading.Event)
    _let_go: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        behaviour = self.server.behaviour
        self._let_go.set()

        def tell(body: dict[str, Any]) -> Any:
            self._asked.set()
            self._let_go.wait(60)
            return behaviour(body)

        self.server.behaviour = tell

    @property
    def root(self) -> UPath:
        return UPath(self.folder / "storage")

    def settings(self, **more: Any) -> CoreSettings:
        return CoreSettings.parse(
            {
                "state": f"sqlite:///{self.folder / 'state.db'}",
                "ledger": self.ledger_url,
                "endpoints": {"openai": self.server.endpoint},
                "prices": {"openai/scripted": PRICE},
                "retry": {"first_backoff_s": 0.001, "max_backoff_s": 0.002},
                "flush_interval_s": 0.05,
                **more,
            }
        )

    def promote(self, task: Task | None = None) -> str:
        """Put the task's authored prompt into production."""
        task = task or self.task
        with self.database.session() as session:
            tasks.upsert_task(session, task, source_path="crates.yaml", now=NOW)
            record = prompt_versions.register(session, task.name, task.prompt.version(), created_by="author", now=NOW)
            current = aliases.find(session, task.name, "production")
            aliases.move(
                session,
                task.name,
                "production",
                record.id,
                expected_revision=current.revision if current else None,
                moved_by="test",
                reason="test",
                now=NOW,
            )
        return record.id

    def add(self, path: Path, **changes: Any) -> TakenIn:
        wish = changes.pop("wish", None) or Wish(self.options.model_copy(update=changes))
        return Intake(self.database, self.root).take_in(self.task, FileSource(UPath(path)), NOW, wish)

    @asynccontextmanager
    async def worker(self, settings: CoreSettings | None = None, **more: Any):
        async with (
            open_client(settings or self.settings()) as client,
            open_worker(self.database, self.root, client, **{"concurrency": 8, **more}) as worker,
        ):
            yield worker

    def run(self, batch_id: str, settings: CoreSettings | None = None, **more: Any) -> BatchRecord:
        async def work() -> BatchRecord:
            async with self.worker(settings, **more) as worker:
                return await worker.run(batch_id)

        return asyncio.run(work())

    def results(self, batch_id: str) -> list[dict[str, Any]]:
        return list(BatchResults(self.database, self.root, batch_id).rows())

    def asked(self) -> list[int]:
        """The crates that were asked about, in the order of arrival."""
        return [number_in(body) for body in self.server.requests]

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is answered within the block: what is done there comes in time, however slow the machine is."""
        self._let_go.clear()
        try:
            yield
        finally:
            self._let_go.set()

    async def first_request(self) -> None:
        """Return once the provider was asked something."""
        async with asyncio.timeout(20):
            await asyncio.to_thread(self._asked.wait)

    def dead_letters(self, batch_id: str) -> list[dict[str, Any]]:
        path = self.root / "batches" / batch_id / "dead_letter.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(lambda body: label_of(number_in(body)), TARIFFS) as running:
        yield running


@pytest.fixture
def floor(tmp_path: Path, server: OpenAIServer, upgraded_file: Path) -> Iterator[Floor]:
    """A floor whose task is in production."""
    shutil.copyfile(upgraded_file, tmp_path / "promptory.db")
    url = f"sqlite:///{tmp_path / 'promptory.db'}"
    database = open_database(url)
    made = Floor(tmp_path, database, server, task_of(), url)
    made.promote()
    yield made
    database.dispose()


@pytest.fixture
def provider() -> Iterator[OpenAIBatchServer]:
    with OpenAIBatchServer(lambda body: label_of(number_in(body)), TARIFFS) as running:
        yield running


@pytest.fixture
def hall(tmp_path: Path, provider: OpenAIBatchServer, upgraded_file: Path) -> Iterator[Floor]:
    """A floor whose provider has a batch API."""
    shutil.copyfile(upgraded_file, tmp_path / "promptory.db")
    database = open_database(f"sqlite:///{tmp_path / 'promptory.db'}")
    made = Floor(tmp_path, database, provider, task_of(), f"sqlite:///{tmp_path / 'promptory.db'}")
    made.promote()
    yield made
    database.dispose()
