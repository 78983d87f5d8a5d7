"""A home, a catalog and a provider for `benchmarks.instance_kills`, and the three works that are set off on them.

Every row has a name of its own in its text (`d3-17`: row 17 of the third round's batch), by which provider, ledger and
results are set against each other.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from benchmarks.provider import PRICE, ROOT
from benchmarks.valkey import ValkeyServer
from domain.task import Task
from orchestration.environments import Environment
from resources.database import schema
from resources.database.repositories import prompt_versions, tasks
from resources.database.session import Database, open_database
from resources.evaluation.steering import promote_by_hand

sys.path.insert(0, str(ROOT / "tests"))
from servers.billing import Tariff
from servers.openai_batch_server import JobPlan, OpenAIBatchServer
from servers.openai_server import Fault

BATCH, BACKFILL, JOBS = "batch", "backfill", "provider batch"
WORKS = (BATCH, BACKFILL, JOBS)
BATCH_TASK, JOBS_TASK = "parcels", "letters"
TASK_OF = {BATCH: BATCH_TASK, JOBS: JOBS_TASK}
LETTERS = {"d": BATCH, "s": BACKFILL, "p": JOBS}
LABELS = ("attic", "cellar", "shed")
ROWS = {BATCH: 320, BACKFILL: 150, JOBS: 80}
SHELVES = 3
CONCURRENCY = {BATCH: 8, BACKFILL: 16}
# While processes are killed the provider is so slow that all three works are under way for a minute.
HELD_S = {BATCH: 2.0, BACKFILL: 4.0}
HELD_REQUEST_S = 0.3
FAST_S = 0.02
KEY_VARIABLE = "KILLS_KEY"
# Of the project's dagster.yaml; what is said here shortens waiting, not what is done.
SHORTER = {"poll_interval_seconds": 5, "start_timeout_seconds": 30}


def name_in(body: dict[str, Any]) -> str:
    """The name of the row that a request is about."""
    return body["messages"][-1]["content"].split("Crate ", 1)[1].split(" ", 1)[0]


def label_of(name: str) -> str:
    """What is right for the row of this name."""
    return LABELS[int(name.rpartition("-")[2]) % len(LABELS)]


@dataclass
class Provider:
    """The loopback provider: how fast it is, and what it was asked.

    Attributes:
        held: everything takes long.
        jobs_held: no job ends.
    """

    held: bool = False
    jobs_held: bool = False
    server: OpenAIBatchServer = field(init=False)

    def __post_init__(self) -> None:
        tariff = Tariff(PRICE["input_per_million"], PRICE["output_per_million"])
        self.server = OpenAIBatchServer(
            lambda body: label_of(name_in(body)),
            {"scripted": tariff},
            plans=lambda _: JobPlan(stays="in_progress" if self.jobs_held else None),
            faults=lambda _, body: Fault(latency_s=self._latency_s(body)),
        )

    def hold(self, held: bool) -> None:
        """Let everything take long, and no job end; or be quick."""
        self.held = self.jobs_held = held
        self.server.delay_s = HELD_REQUEST_S if held else 0.0

    def _latency_s(self, body: dict[str, Any]) -> float:
        return HELD_S[LETTERS[name_in(body)[0]]] if self.held else FAST_S

    def asked(self) -> Counter[str]:
        """How often each row was asked directly."""
        return Counter(name_in(body) for body in list(self.server.requests))

    def has_asked(self, prefix: str) -> bool:
        """Whether any row with such a name was."""
        return any(name_in(body).startswith(prefix) for body in list(self.server.requests))

    def handed_over(self) -> Counter[str]:
        """How often each row was part of a job."""
        return Counter(name_in(body) for body in self.server.batch_bodies)


@dataclass(frozen=True)
class Round:
    """What is worked on together: a file for each batch task, new tasks for a backfill."""

    number: int
    shelves: tuple[str, ...]

    @property
    def key(self) -> str:
        """Of the backfill."""
        return f"round-{self.number}"

    @property
    def assets(self) -> tuple[str, ...]:
        """What the backfill makes."""
        return ("dataset", "prompt_version", "evaluation")


@dataclass(frozen=True)
class Place:
    """Where everything is."""

    folder: Path
    environment: Environment
    database: Database
    provider: Provider

    def begin(self, number: int) -> Round:
        """Lay out a round's files and tasks; the batches' sensors find theirs by themselves."""
        begun = Round(number, tuple(f"shelf_{number:02d}_{letter}" for letter in "abc"[:SHELVES]))
        for place, shelf in enumerate(begun.shelves):
            rows = [f"s{number}{'abc'[place]}-{row}" for row in range(1, ROWS[BACKFILL] + 1)]
            lines = [f"Crate {name} is here,{label_of(name)}" for name in rows]
            _write(self.folder / "catalog" / "datasets" / f"{shelf}.csv", ["text,label", *lines])
            _write_task(self.folder, _task(shelf))
        for letter, task, count in (("d", BATCH_TASK, ROWS[BATCH]), ("p", JOBS_TASK, ROWS[JOBS])):
            lines = [f"{letter}{number}-{row},Crate {letter}{number}-{row} is here" for row in range(1, count + 1)]
            path = Path(self.environment.batch_root) / task / f"round-{number}.csv"
            _write(path, ["crate,text", *lines])
            long_ago = time.time() - 60
            os.utime(path, (long_ago, long_ago))
        return begun


@contextmanager
def lay_out(folder: Path, state: str) -> Iterator[Place]:
    """A home below `folder`, an upgraded database, two tasks in production, and the provider.

    This process's environment names them, so that its children find them.
    """
    with ExitStack() as stack:
        provider = Provider()
        stack.enter_context(provider.server)
        home = folder / "home"
        (home / "dagster").mkdir(parents=True)
        names = {"HOME": home, "CATALOG": folder / "catalog", "CONFIG": folder / "promptory.yaml"}
        for name in [name for name in os.environ if name.startswith(("PROMPTORY_", "DAGSTER_", "OPENAI_"))]:
            del os.environ[name]
        os.environ |= {f"PROMPTORY_{name}": str(path) for name, path in names.items()}
        os.environ |= {"DAGSTER_HOME": str(home / "dagster"), KEY_VARIABLE: "test-key"}
        _write_settings(folder, provider.server.base_url)
        storage = _servers(stack) if state == "redis" else {}
        (home / "dagster" / "dagster.yaml").write_text(yaml.safe_dump(_instance_config(storage)))
        environment = Environment.read()
        database = open_database(environment.database)
        stack.callback(database.dispose)
        schema.upgrade(database)
        for name, batch in ((BATCH_TASK, {"chunk_rows": 80}), (JOBS_TASK, {"how": "provider", "chunk_rows": 20})):
            batch |= {"key": "crate", "concurrency": CONCURRENCY[BATCH], "poll_s": 1}
            _promote(database, _write_task(folder, _task(name, batch=batch)))
        yield Place(folder, environment, database, provider)


def _servers(stack: ExitStack) -> dict[str, Any]:
    """PostgreSQL and Valkey of our own, both writing through to the disk; Dagster's storage on the former."""
    from servers.postgres import PostgresServer

    postgres = stack.enter_context(PostgresServer())
    for setting in ("fsync", "full_page_writes", "synchronous_commit"):
        postgres.execute(f"ALTER SYSTEM SET {setting} = on")
    postgres.execute("SELECT pg_reload_conf()")
    valkey = stack.enter_context(ValkeyServer(keeps=True))
    os.environ["PROMPTORY_DATABASE_URL"] = postgres.url(postgres.create())
    os.environ["PROMPTORY_STATE_URL"] = valkey.url("kills")
    url = postgres.url(postgres.create()).replace("postgresql+psycopg://", "postgresql+psycopg2://")
    return {"storage": {"postgres": {"postgres_url": url}}}


def _instance_config(storage: dict[str, Any]) -> dict[str, Any]:
    """The project's own, in this home."""
    config = yaml.safe_load((ROOT / "dagster.yaml").read_text())
    for place in ("storage", "local_artifact_storage", "compute_logs"):
        del config[place]
    config["run_monitoring"] |= SHORTER
    queue = {"module": "dagster", "class": "QueuedRunCoordinator", "config": {"dequeue_interval_seconds": 2}}
    return {**config, **storage, "run_coordinator": queue}


def _write_settings(folder: Path, base_url: str) -> None:
    settings = {
        "endpoints": {"openai": {"base_url": base_url, "api_key": f"${{{KEY_VARIABLE}}}"}},
        "prices": {"openai/scripted": PRICE},
        "budgets": {"month": "1000"},
    }
    (folder / "promptory.yaml").write_text(yaml.safe_dump(settings))


def _task(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "dataset": {"source": f"../datasets/{name}.csv", "inputs": ["text"], "output": "label"},
        "prompt": {
            "model": "openai/scripted",
            "parameters": {"temperature": 0.0, "max_output_tokens": 8},
            "system_prompt": f"Say where the crates of {name} belong.",
            "output_prompt": "{{ text }}",
            "output": {"kind": "choice", "choices": list(LABELS)},
        },
        "evaluators": [{"kind": "choice_label"}],
        **more,
    }


def _write_task(folder: Path, values: dict[str, Any]) -> dict[str, Any]:
    _write(folder / "catalog" / "tasks" / f"{values['name']}.yaml", [yaml.safe_dump(values)])
    return values


def _write(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}")
    part.write_text("\n".join(lines) + "\n")
    part.rename(path)


def _promote(database: Database, values: dict[str, Any]) -> None:
    task, now = Task.model_validate(values), datetime.now(UTC)
    with database.session() as session:
        tasks.upsert_task(session, task, source_path=f"{task.name}.yaml", now=now)
        prompt_versions.register(session, task.name, task.prompt.version(), created_by="author", now=now)
    promote_by_hand(database, task.name, "v1", "production", by="operator", reason="to begin with", now=now)
