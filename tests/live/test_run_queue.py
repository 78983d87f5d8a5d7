"""A burst on a running Dagster: very much is new at once, and no more runs work at a time than the queue allows."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
import pytest
import yaml
from backfill.tasks import LABELS, Tasks
from live.dagster_processes import ROOT, DagsterServer, dagster_running
from upath import UPath

from resources.batch_inference.reading import BatchResults
from resources.database.repositories import batches, dataset_versions, prompt_versions
from resources.database.session import open_database

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

NUMBER = int(os.environ.get("PROMPTORY_QUEUE_TASKS", "12"))
FILES_EACH = 3
DONE_S = 300.0 + 30.0 * NUMBER
WORKING = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
NAMES = tuple(f"task_{number:04d}" for number in range(NUMBER))
QUEUE = yaml.safe_load((ROOT / "dagster.yaml").read_text())["concurrency"]


@dataclass
class Polled:
    """How many runs were at work whenever somebody looked, and the runs in the end."""

    at_work: list[int] = field(default_factory=list)
    runs: list[dg.DagsterRun] = field(default_factory=list)


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tasks:
    """Task files that nobody has read, files in every task's batch folder, and the checkout's run queue."""
    made = Tasks(tmp_path)
    made.prepare(monkeypatch)
    made.add(*NAMES, rows=24)
    instance = tmp_path / "home" / "dagster" / "dagster.yaml"
    instance.write_text(instance.read_text() + yaml.safe_dump({"concurrency": QUEUE}))
    for name in NAMES:
        for number in range(FILES_EACH):
            path = tmp_path / "home" / "batches" / name / f"part-{number}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("text\n" + "".join(f"crate {name} {number} {row} of the {LABELS[0]}\n" for row in range(3)))
            os.utime(path, (time.time() - 3600,) * 2)
    return made


@pytest.fixture
def server(tasks: Tasks) -> Iterator[DagsterServer]:
    with dagster_running(tasks.root) as running:
        yield running


def answered_rows(tasks: Tasks) -> Counter[str]:
    """Answers by task, of all finished batches."""
    environment = tasks.environment
    database = open_database(environment.database)
    with database.session(read_only=True) as session:
        done = batches.list_batches(session, states=["done"])
    found: Counter[str] = Counter()
    for one in done:
        found[one.task] += sum(1 for _ in BatchResults(database, UPath(environment.storage_root), one.id).rows())
    database.dispose()
    return found


def watch_until_done(tasks: Tasks) -> Polled:
    """Look again and again until every batch is done and nothing works any more."""
    polled = Polled()
    end = time.monotonic() + DONE_S
    with tasks.instance() as instance:
        while time.monotonic() < end:
            polled.runs = list(instance.get_runs())
            polled.at_work.append(sum(run.status in WORKING for run in polled.runs))
            names = [run.job_name for run in polled.runs if run.is_success]
            settled = names.count("predict_batches") >= NUMBER and all(run.is_finished for run in polled.runs)
            if settled or any(run.is_failure_or_canceled for run in polled.runs):
                return polled
            time.sleep(0.1)
    raise AssertionError(Counter((run.job_name, run.status.value) for run in polled.runs))


def test_a_burst_never_has_more_runs_at_work_than_the_queue_allows(tasks: Tasks, server: DagsterServer) -> None:
    limit = QUEUE["runs"]["max_concurrent_runs"]

    polled = watch_until_done(tasks)

    told = Counter((run.job_name, run.status.value) for run in polled.runs)
    assert 1 < max(polled.at_work) <= limit, told
    assert all(run.is_success for run in polled.runs), (told, server.log.read_text()[-4000:])
    assert told["predict_batches", "SUCCESS"] == NUMBER
    assert told["ingest", "SUCCESS"] == 1
    assert answered_rows(tasks) == Counter(dict.fromkeys(NAMES, 3 * FILES_EACH))
    database = open_database(tasks.environment.database)
    with database.session(read_only=True) as session:
        assert [len(dataset_versions.list_dataset_versions(session, name)) for name in NAMES] == [1] * NUMBER
        assert [len(prompt_versions.list_prompt_versions(session, name)) for name in NAMES] == [1] * NUMBER
    database.dispose()
    # What follows from the new tasks by itself: Dagster's automation puts many partitions into a backfill.
    evaluations = [run for run in polled.runs if dg.AssetKey("evaluation") in (run.asset_selection or ())]
    assert len(evaluations) <= NUMBER // 2, told
