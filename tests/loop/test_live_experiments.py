"""Live experiments under Dagster: registered, reported on, stopped and promoted by the sensor and its runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import dagster as dg
import numpy as np
import pytest
import yaml
from loop.workplace import TASK, Workplace

from assets.compression.compression import compression
from assets.datasets.dataset import dataset
from assets.evaluations.evaluation import evaluation
from assets.experiments.experiment_report import experiment_report
from assets.optimization.optimization_run import optimization_run
from assets.promotions.promotion import promotion
from assets.prompts.prompt_version import prompt_version
from domain.prompt import Demonstration
from jobs.promote import promote
from jobs.report_experiment import report_experiment
from orchestration.task_resources import build_task_resources
from resources.catalog.catalog import Catalog
from resources.catalog.experiments import ExperimentCatalog
from resources.database.repositories import aliases, experiments, interactions, outcomes, prompt_versions, tasks
from resources.database.repositories.interactions import InteractionRecord
from resources.database.repositories.outcomes import OutcomeRecord
from resources.experiments.lifecycle import start
from resources.experiments.live import LiveExperiments
from resources.experiments.reporting import conclude, make_report
from sensors.live_experiments import live_experiments

BEGAN = datetime.now(UTC) - timedelta(days=20)


@dataclass
class Daemon:
    """The sensor ticking, and what it requests run at once."""

    place: Workplace
    instance: dg.DagsterInstance
    cursor: str | None = None
    results: list[dg.ExecuteInProcessResult] = field(default_factory=list)

    def __post_init__(self) -> None:
        resources = build_task_resources(self.place.environment)
        self._sensor_resources = {name: resources[name] for name in ("catalog", "database")}
        self._definitions = dg.Definitions(
            assets=[dataset, prompt_version, optimization_run, evaluation, compression, promotion, experiment_report],
            jobs=[report_experiment, promote],
            sensors=[live_experiments],
            resources=resources,
            executor=dg.in_process_executor,
        )

    def tick(self) -> list[tuple[str, str]]:
        """The runs that were requested and run: (job, partition)."""
        with dg.SensorEvaluationContext(
            instance_ref=self.instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=self.cursor,
            repository_name=None,
            definitions=self._definitions,
            sensor_name=live_experiments.name,
            resources=self._sensor_resources,
        ) as context:
            result = live_experiments.evaluate_tick(context)
        for request in result.dynamic_partitions_requests or ():
            self.instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        self.cursor = result.cursor
        ran = [(str(request.job_name), str(request.partition_key)) for request in result.run_requests or []]
        for request in result.run_requests or []:
            self.run(str(request.job_name), str(request.partition_key), dict(request.tags))
        return ran

    def run(self, job: str, partition: str, tags: dict[str, str] | None = None) -> dg.ExecuteInProcessResult:
        resolved = self._definitions.resolve_job_def(job)
        done = resolved.execute_in_process(
            instance=self.instance, partition_key=partition, raise_on_error=False, tags=tags
        )
        self.results.append(done)
        return done

    def metadata(self) -> dict[str, Any]:
        """Of the newest materialization."""
        (made,) = self.results[-1].get_asset_materialization_events()
        return {k: v.value for k, v in made.step_materialization_data.materialization.metadata.items()}

    def checks(self) -> dict[str, bool]:
        return {check.check_name: check.passed for check in self.results[-1].get_asset_check_evaluations()}

    def write(self, **changes: Any) -> None:
        folder = self.place.root / "catalog" / "experiments"
        folder.mkdir(exist_ok=True)
        values = {
            "name": "rooms",
            "task": TASK,
            "variants": [{"name": "plain", "prompt": "v1"}, {"name": "examples", "prompt": "v2"}],
            "guardrails": {"max_cost_ratio": 2.0},
            "promote": "automatic",
            **changes,
        }
        (folder / "rooms.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")

    def start(self) -> None:
        entry = ExperimentCatalog(self.place.root / "catalog").get("rooms")
        with self.place.database() as database:
            start(database, entry.experiment, started_by="test", now=datetime.now(UTC), since=BEGAN)

    def traffic(self, units: int, chances: tuple[float, float], cost: float = 1.0, only: str | None = None) -> None:
        random = np.random.default_rng(1)
        seen, came = [], []
        with self.place.database() as database:
            live = LiveExperiments(database)
            for number in range(units):
                given = live.assign("rooms", f"u{number}")
                if given.variant is None or given.prompt_version_id is None or only not in (None, given.variant):
                    continue
                at = BEGAN + timedelta(minutes=number + 1)
                second = given.variant == "examples"
                price = int(1_000 * (cost if second else 1.0) * random.lognormal(0, 0.2))
                record = InteractionRecord(
                    "rooms", f"r{number}", given.unit_id, given.variant, given.prompt_version_id, None, price, 0.1,
                    None, at, "import",
                )  # fmt: skip
                seen.append(record)
                value, then = float(random.random() < chances[second]), at + timedelta(hours=1)
                key = f"unit:{given.unit_id}"
                came.append(OutcomeRecord("rooms", key, given.unit_id, None, value, then, then, "import"))
            with database.session() as session:
                interactions.put_many(session, seen)
                outcomes.put_many(session, came)

    def record(self) -> experiments.ExperimentRecord:
        with self.place.database() as database, database.session(read_only=True) as session:
            return experiments.get(session, "rooms")

    def production(self) -> int:
        with self.place.database() as database, database.session(read_only=True) as session:
            return prompt_versions.get(session, TASK, "production").version


@pytest.fixture
def daemon(make_workplace: Callable[..., Workplace]) -> Iterator[Daemon]:
    """A task with two prompt versions, an experiment file and nothing started."""
    place = make_workplace(12)
    entry = Catalog(place.root / "catalog").get(TASK)
    first = entry.task.prompt.version()
    with place.database() as database, database.session() as session:
        tasks.upsert_task(session, entry.task, source_path=str(entry.path), now=BEGAN)
        prompt_versions.register(session, TASK, first, created_by="author", now=BEGAN)
        move = partial(aliases.move, session, TASK, "production", first.id, expected_revision=None)
        move(moved_by="author", reason="The first.", now=BEGAN)
        shown = (Demonstration(inputs={"text": "A crate holds one drum"}, output="shed"),)
        second = first.with_steps((first.steps[0].model_copy(update={"demonstrations": shown}),))
        prompt_versions.register(session, TASK, second, created_by="test", now=BEGAN)
    with place.instance() as instance:
        made = Daemon(place, instance)
        made.write()
        yield made


def test_a_file_becomes_a_partition_and_a_start_a_report(daemon: Daemon) -> None:
    assert daemon.tick() == []
    assert daemon.instance.get_dynamic_partitions("experiments") == ["rooms"]
    daemon.start()
    assert daemon.tick() == [("report_experiment", "rooms")]
    assert daemon.metadata()["verdict"] == "continue"
    assert daemon.tick() == []


def test_a_winner_is_stopped_and_promoted_without_an_evaluation(daemon: Daemon) -> None:
    daemon.start()
    daemon.traffic(900, (0.4, 0.7))
    assert daemon.tick() == [("report_experiment", "rooms")]
    shown = daemon.metadata()
    assert (shown["verdict"], shown["state"], shown["decision"]) == ("winner", "stopped", "promote")
    assert shown["gain_low"] > 0
    assert "data:image/png;base64," in shown["chart"]
    assert daemon.checks() == {"sample_ratio": True, "guardrails": True}
    assert len(daemon.results[-1].all_events) < 100
    assert daemon.production() == 1

    assert sorted(daemon.tick()) == [("promote", TASK), ("report_experiment", "rooms")]
    assert daemon.production() == 2
    assert [done.success for done in daemon.results] == [True] * 3
    assert daemon.tick() == []


def test_a_broken_guardrail_stops_it_and_promotes_nothing(daemon: Daemon) -> None:
    daemon.start()
    daemon.traffic(600, (0.4, 0.7), cost=5.0)
    daemon.tick()
    assert daemon.metadata()["verdict"] == "guardrail"
    assert daemon.checks() == {"sample_ratio": True, "guardrails": False}
    record = daemon.record()
    assert (record.state, record.stop_kind) == ("stopped", "guardrail")
    assert "above the limit of 2" in (record.stop_reason or "")
    assert daemon.tick() == [("report_experiment", "rooms")]
    assert daemon.production() == 1


def test_a_mismatch_is_an_error_and_stops_nothing(daemon: Daemon) -> None:
    daemon.start()
    daemon.traffic(900, (0.4, 0.7), only="examples")
    daemon.tick()
    assert daemon.metadata()["verdict"] == "mismatch"
    assert daemon.checks()["sample_ratio"] is False
    assert daemon.record().state == "running"


def test_manual_switches_are_respected(daemon: Daemon) -> None:
    daemon.write(stop="manual", promote="manual")
    daemon.start()
    daemon.traffic(900, (0.4, 0.7))
    daemon.tick()
    assert daemon.metadata()["verdict"] == "winner"
    assert daemon.record().state == "running"
    with daemon.place.database() as database:
        now = datetime.now(UTC)
        conclude(database, make_report(database, "rooms", now), now)
    daemon.tick()
    assert daemon.record().stop_kind == "winner"
    daemon.instance.add_dynamic_partitions("tasks", [TASK])
    assert not daemon.run("promote", TASK).success  # nothing is decided that promotion may carry out by itself
    assert daemon.production() == 1


def test_a_report_of_what_was_never_started_fails_with_the_mend(daemon: Daemon) -> None:
    daemon.tick()
    failed = daemon.run("report_experiment", "rooms")
    assert not failed.success
    told = failed.all_node_events[-1].event_specific_data.user_failure_data.description
    assert "promptory experiment start rooms" in told
