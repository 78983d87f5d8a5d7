"""A catalog of small tasks and the home they are made in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import yaml

from orchestration.environments import Environment
from orchestration.instance import open_instance
from resources.database.schema import upgrade
from resources.database.session import open_database

LABELS = ("attic", "cellar", "shed")
ROWS = 60


@dataclass(frozen=True)
class Tasks:
    """Task files and rows below `root/catalog`, a home below `root/home`."""

    root: Path

    @property
    def environment(self) -> Environment:
        return Environment(home=self.root / "home", catalog=self.root / "catalog", config=self.root / "promptory.yaml")

    def prepare(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for folder in ("catalog/tasks", "catalog/datasets", "home/dagster"):
            (self.root / folder).mkdir(parents=True)
        (self.root / "home/dagster/dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
        for name in ("LANDING", "STORAGE", "DATABASE_URL", "STATE_URL"):
            monkeypatch.delenv(f"PROMPTORY_{name}", raising=False)
        monkeypatch.setenv("PROMPTORY_HOME", str(self.root / "home"))
        monkeypatch.setenv("PROMPTORY_CATALOG", str(self.root / "catalog"))
        monkeypatch.setenv("PROMPTORY_CONFIG", str(self.root / "promptory.yaml"))
        monkeypatch.setenv("DAGSTER_HOME", str(self.root / "home" / "dagster"))
        monkeypatch.chdir(self.root)
        database = open_database(self.environment.database)
        upgrade(database)
        database.dispose()

    def add(self, *names: str, rows: int = ROWS, optimizer: bool = False) -> None:
        for name in names:
            self.write_rows(name, rows)
            spec = {
                "name": name,
                "dataset": {"source": f"../datasets/{name}.csv", "inputs": ["text"], "output": "label"},
                "prompt": {
                    "model": "offline/nearest",
                    "system_prompt": f"Say where the crate of {name} belongs.",
                    "output_prompt": "Text: {{ text }}",
                    "output": {"kind": "choice", "choices": list(LABELS)},
                },
                "evaluators": [{"kind": "choice_label"}],
            }
            if optimizer:
                spec["optimizer"] = {"kind": "labeled_few_shot", "demonstrations": 4}
            (self.root / "catalog/tasks" / f"{name}.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))

    def write_rows(self, name: str, rows: int = ROWS, first: int = 0) -> None:
        lines = [f"crate {n} of the {LABELS[n % 3]},{LABELS[n % 3]}" for n in range(first, first + rows)]
        (self.root / "catalog/datasets" / f"{name}.csv").write_text("\n".join(["text,label", *lines]) + "\n")

    def break_rows(self, name: str) -> None:
        """Make the dataset file useless."""
        (self.root / "catalog/datasets" / f"{name}.csv").write_text("text,label\n,\n")

    def instance(self) -> dg.DagsterInstance:
        return open_instance(self.environment)

    def tags(self, asset: str, name: str) -> dict[str, str]:
        """Of the newest materialization."""
        wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[name])
        with self.instance() as instance:
            newest = instance.fetch_materializations(wanted, limit=1).records[0].asset_materialization
        assert newest is not None
        return dict(newest.tags or {})
