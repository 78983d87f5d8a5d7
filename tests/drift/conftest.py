"""A task in production, its calls, and the sensor under a clock set by hand."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import yaml
from servers.webhook import Webhook, webhook_server
from upath import UPath

from domain.batch.outcome import RowOutcome, judge_answer
from domain.batch.rows import InputRow
from domain.prompt import PromptVersion
from resources.alerts_resource import AlertsResource
from resources.batch_inference import snapshot
from resources.batch_inference.results import PartLayout, merge, write_part
from resources.catalog.catalog import Catalog
from resources.catalog.snapshot import take_snapshot
from resources.catalog.task_file import load_task
from resources.catalog_resource import CatalogResource
from resources.database.repositories import aliases, batch_chunks, batches, prompt_versions
from resources.database.repositories.batch_chunks import ChunkRecord
from resources.database.repositories.batches import BatchRecord
from resources.database.session import Database, open_database
from resources.database.tables import CallRow
from resources.storage.datasets import DatasetStore
from sensors.quality_drift import tick

LABELS = ("card", "transfer")
PROMOTED = datetime(2026, 11, 1, tzinfo=UTC)


class Production:
    """One task, `colours`, whose authored prompt is in production."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.database = database
        self.random = np.random.default_rng(11)
        self._folder = folder / "catalog"
        (self._folder / "tasks").mkdir(parents=True)
        self._calls = 0
        self._batches = 0

    @property
    def catalog(self) -> CatalogResource:
        return CatalogResource(folder=str(self._folder), landing=str(self._folder / "landing"))

    @property
    def root(self) -> UPath:
        return UPath(self._folder.parent / "storage")

    def label(self, texts: Sequence[str]) -> None:
        """Make a dataset version of these rows."""
        source = self._folder / "tasks" / "colours.csv"
        with source.open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerows([["text", "label"], *([text, LABELS[n % 2]] for n, text in enumerate(texts))])
        entry = Catalog(self._folder).get("colours")
        self.root.mkdir(parents=True, exist_ok=True)
        take_snapshot(entry, UPath(self._folder / "landing"), self.database, DatasetStore(self.root), PROMOTED)

    def batch(
        self, prompt: PromptVersion, day: float, texts: Sequence[str], labels: Sequence[str] = LABELS, chunk: int = 100
    ) -> None:
        """A batch that was finished on a day: these rows, answered with the labels in turn."""
        self._batches += 1
        batch_id = f"{self._batches:064x}"
        folder = self.root / "batches" / batch_id
        folder.mkdir(parents=True)
        rows = [InputRow(number, number, None, {"text": text}) for number, text in enumerate(texts, 1)]
        with (folder / snapshot.NAME).open("wb") as stream:
            facts = snapshot.write_snapshot(rows, chunk, stream)
        layout = PartLayout(prompt.steps[-1].output, prompt.id, ())
        finished, first, chunks = PROMOTED + timedelta(days=day), 0, list[ChunkRecord]()
        for number, size in enumerate(facts.chunks):
            own = rows[first : first + size]
            outcomes = {
                row.number: RowOutcome(status, reason, text=label, value=value)
                for row, label in zip(own, cycle(labels), strict=False)
                for status, reason, value in (judge_answer(prompt.steps[-1].output, label),)
            }
            record = ChunkRecord(batch_id, number, first + 1, size, "open", 0)
            chunks.append(write_part(folder, layout, record, merge(layout, own, outcomes, {}, 1)))
            first += size
        done = BatchRecord(
            id=batch_id,
            task="colours",
            state="done",
            pause_kind=None,
            reason=None,
            resume_at=None,
            request=None,
            source={},
            options={},
            rows_id=facts.rows_id,
            edition=0,
            parent_id=None,
            rows=facts.rows,
            rejected=0,
            chunks=len(chunks),
            prompt_version_id=prompt.id,
            worker=None,
            claim=1,
            claimed_at=finished,
            lease_until=None,
            active_s=1.0,
            repeats=[],
            summary=None,
            created_at=finished,
            started_at=finished,
            finished_at=finished,
        )
        with self.database.session() as session:
            batches.add(session, done)
            batch_chunks.add(session, chunks)

    def write(self, *, output: Mapping[str, Any] | None = None, **drift: Any) -> PromptVersion:
        """The task's file; without `output` it chooses a label."""
        values = {
            "name": "colours",
            "dataset": {"source": "colours.csv", "inputs": ["text"], "output": "label"},
            "prompt": {
                "model": "offline/nearest",
                "output_prompt": "{{ text }}",
                "output": dict(output or {"kind": "choice", "choices": [*LABELS, "other"]}),
            },
            "evaluators": [{"kind": "exact_match"}],
            "optimizer": {"kind": "labeled_few_shot"},
            "drift": {"alpha": 0.05, "min_calls": 200, **drift},
        }
        path = self._folder / "tasks" / "colours.yaml"
        path.write_text(yaml.safe_dump(values))
        return load_task(path).prompt.version()

    def promote(self, prompt: PromptVersion) -> str:
        with self.database.session() as session:
            record = prompt_versions.register(session, "colours", prompt, created_by="person", now=PROMOTED)
            aliases.move(
                session,
                "colours",
                "production",
                record.id,
                expected_revision=None,
                moved_by="person",
                reason="first",
                now=PROMOTED,
            )
        return record.id

    def calls(self, prompt_id: str, day: int, rows: int, centre: float = 4.0, **fields: Any) -> None:
        """A day's production calls."""
        tokens = np.rint(self.random.lognormal(centre, 0.6, rows)).astype(int).tolist()
        start = PROMOTED + timedelta(days=day)
        with self.database.session() as session:
            for number, length in enumerate(tokens):
                self._calls += 1
                at = start + timedelta(seconds=number * 80_000 / rows)
                row: dict[str, Any] = {
                    "call_id": f"call-{self._calls:06d}",
                    "purpose": "serve",
                    "task": "colours",
                    "prompt_version_id": prompt_id,
                    "step": "answer",
                    "requested_model": "offline/nearest",
                    "model": "offline/nearest",
                    "status": "ok",
                    "cached": False,
                    "attempts": 1,
                    "input_tokens": length,
                    "output_tokens": 2,
                    "cost_nano_usd": 1,
                    "latency_s": 0.1,
                    "started_at": at,
                    "finished_at": at,
                    **fields,
                }
                session.add(CallRow(**row))


class Sensor:
    """Keeps the cursor, as the daemon does."""

    def __init__(self, production: Production, hook: Webhook) -> None:
        self.production = production
        self.alerts = AlertsResource(webhook_url=hook.url)
        self.cursor: str | None = None

    def at(self, day: float) -> list[dg.RunRequest]:
        now = PROMOTED + timedelta(days=day)
        context = dg.build_sensor_context(cursor=self.cursor)
        made = self.production
        result = tick(context, made.catalog, made.database, made.root, self.alerts, now)
        self.cursor = result.cursor
        return list(result.run_requests or ())


@pytest.fixture
def production(tmp_path: Path, upgraded_file: Path) -> Iterator[Production]:
    shutil.copyfile(upgraded_file, tmp_path / "promptory.db")
    database = open_database(f"sqlite:///{tmp_path}/promptory.db")
    yield Production(tmp_path, database)
    database.dispose()


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with webhook_server() as made:
        yield made


@pytest.fixture
def sensor(production: Production, hook: Webhook) -> Sensor:
    return Sensor(production, hook)
