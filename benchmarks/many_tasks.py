"""A home with very many tasks, all of them read, evaluated and looked at once: as a quiet night leaves it.

Rows, prompts and datasets are stored the way the assets store them. The materializations are reported, not run: a
thousand evaluations take an hour, and what is measured here is everything around them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import dagster as dg
import yaml
from upath import UPath

from assets.partitions import tasks_partitions
from assets.provenance import (
    CODE_VERSION,
    DATA_VERSION,
    INPUT_DATA_VERSION,
    INPUT_EVENT,
    IS_USER_PROVIDED,
    NO_DATA_VERSION,
    NO_EVENT,
    as_input,
)
from domain.identity import content_id
from orchestration.environments import Environment
from orchestration.instance import open_instance
from resources.catalog.catalog import Catalog, CatalogEntry
from resources.catalog.snapshot import take_snapshot
from resources.database.repositories import aliases, prompt_versions
from resources.database.schema import upgrade
from resources.database.session import Database, open_database
from resources.evaluation.promote import PRODUCTION
from resources.storage.datasets import DatasetStore

PARENTS: dict[str, tuple[str, ...]] = {
    "dataset": (),
    "prompt_version": (),
    "optimization_run": ("dataset", "prompt_version"),
    "evaluation": ("dataset", "optimization_run", "prompt_version"),
    "promotion": ("evaluation",),
}
_LABELS = ("billing", "delivery", "refund")
_ROWS = 90


def write_catalog(folder: Path, tasks: int) -> None:
    """Task files of the usual length, each with a dataset file of its own."""
    for name in ("tasks", "datasets"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for number in range(tasks):
        name = f"task_{number:05d}"
        lines = [f"{_LABELS[row % 3]} request {row} of {name},{_LABELS[row % 3]}" for row in range(_ROWS)]
        (folder / "datasets" / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")
        (folder / "tasks" / f"{name}.yaml").write_text(yaml.safe_dump(_task(name), sort_keys=False))


def _task(name: str) -> dict[str, object]:
    choices = {label: f"Everything that has to do with {label}, however it is put." for label in _LABELS}
    return {
        "name": name,
        "description": "Which team a message goes to.",
        "dataset": {"source": f"../datasets/{name}.csv", "inputs": ["text"], "output": "label"},
        "prompt": {
            "model": "offline/nearest",
            "parameters": {"temperature": 0.0, "max_output_tokens": 16},
            "system_prompt": f"You sort the messages of {name}.\nChoose the team that should answer.\n",
            "output_prompt": "Message: {{ text }}",
            "output": {"kind": "choice", "choices": choices},
        },
        "evaluators": [{"kind": "choice_label"}],
        "optimizer": {"kind": "bootstrap_random_search", "candidates": 4, "max_bootstrapped": 2, "max_labeled": 8},
        "gate": {"alpha": 0.05},
        "budget": {"total_usd": "2.00", "run_usd": "0.50"},
    }


def store_all(environment: Environment) -> None:
    """Everything the assets would have stored, and their materializations."""
    database = open_database(environment.database)
    upgrade(database)
    entries = Catalog(environment.catalog).read().entries
    with open_instance(environment) as instance:
        for names in _parts((entry.task.name for entry in entries), 500):
            instance.add_dynamic_partitions(str(tasks_partitions.name), names)
        for entry in entries:
            _report(instance, entry.task.name, _store(environment, database, entry))
    database.dispose()


def _store(environment: Environment, database: Database, entry: CatalogEntry) -> dict[str, str]:
    """The data versions by asset."""
    now = datetime.now(UTC)
    landing, storage = UPath(environment.landing_root), UPath(environment.storage_root)
    snapshot = take_snapshot(entry, landing, database, DatasetStore(storage), now)
    prompt, name = entry.task.prompt.version(), entry.task.name
    with database.session() as session:
        prompt_versions.register(session, name, prompt, created_by="author", now=now)
        if aliases.find(session, name, PRODUCTION) is None:
            first = "The task's first prompt."
            aliases.move(
                session, name, PRODUCTION, prompt.id, expected_revision=None, moved_by="author", reason=first, now=now
            )
    made = {asset: content_id([name, asset]) for asset in PARENTS}
    return {**made, "dataset": snapshot.version.id, "prompt_version": prompt.id}


def _report(instance: dg.DagsterInstance, task: str, versions: dict[str, str]) -> None:
    for asset, parents in PARENTS.items():
        if asset == "optimization_run":
            continue  # a person starts it
        tags = {CODE_VERSION: "1", DATA_VERSION: versions[asset], IS_USER_PROVIDED: "true"}
        for parent in parents:
            there = parent != "optimization_run"
            tags[f"{INPUT_DATA_VERSION}/{parent}"] = as_input(versions[parent]) if there else NO_DATA_VERSION
            tags[f"{INPUT_EVENT}/{parent}"] = NO_EVENT
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, partition=task, tags=tags))


def _parts(names: Iterable[str], size: int) -> Iterator[list[str]]:
    left = iter(names)
    while part := list(islice(left, size)):
        yield part
