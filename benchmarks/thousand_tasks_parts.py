"""What `thousand_tasks` measures in a process of its own: python -m benchmarks.thousand_tasks_parts PART FOLDER N."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.thousand_tasks import ROOT, seconds_of

Figures = dict[str, list[float]]


def make(folder: Path, tasks: int) -> Figures:
    """The catalog and the home."""
    from benchmarks.many_tasks import store_all, write_catalog
    from orchestration.environments import Environment

    write_catalog(folder / "catalog", tasks)
    store_all(Environment.read())
    return {}


def definitions(_folder: Path, rounds: int) -> Figures:
    """Loading the code location in a fresh interpreter."""
    command = [sys.executable, "-W", "ignore", "-c", "import orchestration.definitions"]
    return {"import in a fresh process": seconds_of(lambda: subprocess.run(command, cwd=ROOT, check=True), rounds)}


def catalog(_folder: Path, rounds: int) -> Figures:
    """Reading all task files, as every tick does."""
    from orchestration.environments import Environment
    from resources.catalog.catalog import Catalog

    folder = Environment.read().catalog
    return {"read": seconds_of(lambda: Catalog(folder).read(), rounds)}


def ticks(_folder: Path, rounds: int) -> Figures:
    """The sensors, as the daemon asks them; the first tick starts without a cursor.

    `dg.evaluate_automation_conditions` would not do: outside of a tick it asks the database for all partitions at every
    node of every condition, which takes ten times as long.
    """
    import dagster as dg

    from orchestration.definitions import defs
    from orchestration.environments import Environment
    from orchestration.instance import open_instance
    from orchestration.task_resources import build_task_resources

    environment = Environment.read()
    resources = build_task_resources(environment)
    used = {name: resources[name] for name in ("catalog", "database")}
    repository = defs.get_repository_def()
    with open_instance(environment) as instance:
        figures: Figures = {}
        for name in ("catalog_files", "live_experiments", "downstream_automation"):
            sensor = repository.get_sensor_def(name)
            needed = used if sensor.required_resource_keys else {}
            cursors: list[str | None] = [None]

            def tick(
                sensor: dg.SensorDefinition = sensor,
                needed: dict[str, object] = needed,
                cursors: list[str | None] = cursors,
            ) -> None:
                with dg.build_sensor_context(
                    instance=instance, cursor=cursors[-1], resources=needed, repository_def=repository
                ) as context:
                    cursors.append(sensor.evaluate_tick(context).cursor)

            figures[name] = seconds_of(tick, rounds)
    return figures


def plan(_folder: Path, rounds: int) -> Figures:
    """A plan of every task: all fresh, and all to be made again."""
    from orchestration import backfill

    def planned(force: bool) -> Callable[[], object]:
        return lambda: backfill.plan(["evaluation", "promotion"], force=force)

    return {"all are fresh": seconds_of(planned(False), rounds), "all again": seconds_of(planned(True), rounds)}


if __name__ == "__main__":
    part, where, number = sys.argv[1:]
    found = {"make": make, "definitions": definitions, "catalog": catalog, "ticks": ticks, "plan": plan}[part]
    print(json.dumps(found(Path(where), int(number))))
