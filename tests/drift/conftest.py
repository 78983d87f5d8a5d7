"""A task in production, its calls, and the sensor under a clock set by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from servers.webhook import Webhook, webhook_server

from domain.prompt import PromptVersion
from resources.catalog.task_file import load_task
from resources.catalog_resource import CatalogResource
from resources.database.repositories import aliases, prompt_versions
from resources.database.session import Database, open_database
from resources.database.tables import CallRow

PROMOTED = datetime(2026, 11, 1, tzinfo=UTC)


class Production:
    """One task, `colours`, whose authored prompt is in production."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.database = database
        self.random = np.random.default_rng(11)
        self._folder = folder / "catalog"
        (self._folder / "tasks").mkdir(parents=True)
        self._calls = 0

    @property
    def catalog(self) -> CatalogResource:
        return CatalogResource(folder=str(self._folder), landing=str(self._folder / "landing"))

    def write(self, **drift: Any) -> PromptVersion:
        values = {
            "name": "colours",
            "dataset": {"source": "colours.csv", "inputs": ["text"], "output": "label"},
            "prompt": {"model": "offline/nearest", "output_prompt": "{{ text }}"},
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
