"""A promotion or a last report whose run failed is asked for again, and one that did not fail never is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from experiments.laboratory import TASK, Laboratory, hours

from assets.permanent_failure import PERMANENT_FAILURE_TAG
from resources.catalog_resource import CatalogResource
from resources.experiments.lifecycle import stop
from resources.experiments.reporting import conclude, make_report
from sensors.live_experiments import tick


@dg.op
def works(context) -> None:
    if context.run.tags["outcome"] == "fails":
        raise dg.Failure("the store is away")


@dg.job
def run_asked_for() -> None:
    works()


@dataclass
class Daemon:
    """The sensor, and runs that end as they are told; a run key is taken once."""

    lab: Laboratory
    folder: Path
    instance: dg.DagsterInstance
    cursor: str | None = None

    def __post_init__(self) -> None:
        self._met: set[str] = set()

    def tick(self, after: timedelta = timedelta(), **tags: str) -> list[tuple[str, str]]:
        """What was run: (job, partition)."""
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        catalog = CatalogResource(folder=str(self.folder), landing=str(self.folder))
        result = tick(context, catalog, self.lab.database, datetime.now(UTC) + after)
        self.cursor = result.cursor
        fresh = [one for one in result.run_requests or () if one.run_key not in self._met]
        for one in fresh:
            self._met.add(str(one.run_key))
            run_asked_for.execute_in_process(
                instance=self.instance, tags={**one.tags, **tags}, raise_on_error=False
            )  # fmt: skip
        return sorted((str(one.job_name), str(one.partition_key)) for one in fresh)


@pytest.fixture
def daemon(small_lab: Laboratory, tmp_path: Path) -> Iterator[Daemon]:
    """A started experiment with a clear winner."""
    (tmp_path / "experiments").mkdir()
    started = small_lab.start(promote="automatic")
    small_lab.traffic(started, 900, lambda variant: 0.5 if variant == "control" else 0.75)
    with dg.DagsterInstance.ephemeral() as instance:
        yield Daemon(small_lab, tmp_path, instance)


def test_a_failed_promotion_is_asked_for_until_a_run_does_not_fail(daemon: Daemon) -> None:
    now = datetime.now(UTC)
    conclude(daemon.lab.database, make_report(daemon.lab.database, "wording", now), now)
    assert ("promote", TASK) in daemon.tick(outcome="fails")
    assert daemon.tick(timedelta(minutes=9), outcome="works") == []
    assert ("promote", TASK) in daemon.tick(timedelta(minutes=11), outcome="fails")
    assert daemon.tick(timedelta(minutes=19), outcome="works") == []
    assert ("promote", TASK) in daemon.tick(timedelta(minutes=21), outcome="works")
    assert daemon.tick(hours(30), outcome="works") == []
    assert daemon.tick(hours(60), outcome="works") == []


def test_the_last_report_is_asked_for_again_and_what_a_person_must_mend_is_not(daemon: Daemon) -> None:
    stop(daemon.lab.database, "wording", kind="person", reason="x", stopped_by="a", now=datetime.now(UTC))
    report = [("report_experiment", "wording")]
    assert daemon.tick(outcome="fails") == report
    assert daemon.tick(timedelta(minutes=9), outcome="works") == []
    assert daemon.tick(timedelta(minutes=11), outcome="fails", **{PERMANENT_FAILURE_TAG: "true"}) == report
    assert daemon.tick(hours(30), outcome="works") == []
