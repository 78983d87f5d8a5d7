"""What starts by itself downstream of the sensors: ticks of the automation conditions over real runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
from loop.workplace import INGEST, TASK, Example, Workplace, task_values

from assets.partition_ranges import key_ranges
from orchestration.definitions import build_definitions

DOWNSTREAM = ("optimization_run", "evaluation", "promotion")
WATCHED = ("optimization_run", "evaluation", "compression", "promotion")


class Daemon:
    """Ticks and runs what a tick requests, as the automation sensor and the run coordinator would."""

    def __init__(self, place: Workplace, definitions: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.place = place
        self.definitions = definitions
        self.instance = instance
        self._cursor: Any = None
        self._job = definitions.resolve_implicit_global_asset_job_def()

    def tick(self) -> dict[str, list[str]]:
        """The assets requested, by task."""
        result = dg.evaluate_automation_conditions(
            defs=self.definitions,
            instance=self.instance,
            asset_selection=dg.AssetSelection.assets(*WATCHED),
            cursor=self._cursor,
        )
        self._cursor = result.cursor
        requested: dict[str, list[str]] = {}
        for name in WATCHED:
            for task in result.get_requested_partitions(dg.AssetKey(name)):
                requested.setdefault(str(task), []).append(name)
        return requested

    def run(self, *assets: str, task: str = TASK) -> None:
        self.instance.add_dynamic_partitions("tasks", [task])
        result = self._job.execute_in_process(
            instance=self.instance, partition_key=task, asset_selection=[dg.AssetKey(name) for name in assets]
        )
        assert result.success

    def start(self, *assets: str) -> dg.DagsterRun:
        """A run that has started and done nothing yet."""
        selection = frozenset(dg.AssetKey(name) for name in assets)
        return self.instance.create_run_for_job(
            self._job.get_subset(asset_selection=selection),
            asset_selection=selection,
            status=dg.DagsterRunStatus.STARTED,
            tags={"dagster/partition": TASK},
        )

    def settle(self) -> dict[str, list[str]]:
        """Tick, and run what is requested; what that was."""
        requested = self.tick()
        for task, assets in requested.items():
            self.run(*assets, task=task)
        return requested


MakeDaemon = Callable[..., Daemon]


@pytest.fixture
def make_daemon(
    make_workplace: Callable[..., Workplace], with_dbt: Callable[[Workplace], Workplace]
) -> Iterator[MakeDaemon]:
    instances: list[dg.DagsterInstance] = []

    def make(**task: Any) -> Daemon:
        place = with_dbt(make_workplace(36, **task))
        instance = dg.DagsterInstance.ephemeral()
        instances.append(instance)
        return Daemon(place, build_definitions(place.environment), instance)

    yield make
    for instance in instances:
        instance.dispose()


def grow(place: Workplace, rows: int) -> None:
    place.write_rows([Example(number) for number in range(rows)])


def test_what_was_ingested_is_optimized_evaluated_and_promoted_once(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="automatic")
    assert daemon.tick() == {}
    daemon.run(*INGEST)

    assert daemon.settle() == {TASK: list(DOWNSTREAM)}
    assert [daemon.tick() for _ in range(3)] == [{}, {}, {}]


def test_only_a_new_data_version_starts_it_again(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="automatic")
    daemon.run(*INGEST)
    daemon.settle()

    daemon.run("dataset")  # the same rows: the same data version
    assert [daemon.tick() for _ in range(2)] == [{}, {}]
    grow(daemon.place, 42)
    daemon.run("dataset")
    assert daemon.settle() == {TASK: list(DOWNSTREAM)}
    assert [daemon.tick() for _ in range(2)] == [{}, {}]
    daemon.run("prompt_version")
    assert daemon.tick() == {}


def test_a_change_while_a_run_works_is_not_forgotten(make_daemon: MakeDaemon) -> None:
    """The run evaluates the former rows; the tick that sees it finished must see that it was overtaken."""
    daemon = make_daemon(optimize="manual")
    daemon.run(*INGEST)
    requested = daemon.tick()
    assert requested == {TASK: ["evaluation", "promotion"]}
    daemon.run("evaluation", "promotion")
    grow(daemon.place, 42)
    daemon.run("dataset")

    assert daemon.settle() == {TASK: ["evaluation", "promotion"]}
    assert [daemon.tick() for _ in range(2)] == [{}, {}]


def test_a_change_during_a_run_waits_for_its_end(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="manual")
    daemon.run(*INGEST)
    assert daemon.tick() == {TASK: ["evaluation", "promotion"]}
    running = daemon.start("evaluation", "promotion")
    assert daemon.tick() == {}
    grow(daemon.place, 42)
    daemon.run("dataset")
    assert [daemon.tick() for _ in range(2)] == [{}, {}]
    daemon.instance.report_run_failed(running)

    assert daemon.settle() == {TASK: ["evaluation", "promotion"]}
    assert daemon.tick() == {}


def test_a_change_before_a_requested_run_starts_is_in_it(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="manual")
    daemon.run(*INGEST)
    daemon.tick()
    grow(daemon.place, 42)
    daemon.run("dataset")
    daemon.run("evaluation", "promotion")

    assert [daemon.tick() for _ in range(2)] == [{}, {}]


def test_a_new_prompt_starts_it_again(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="automatic")
    daemon.run(*INGEST)
    daemon.settle()
    values = task_values(optimize="automatic")
    values["prompt"]["system_prompt"] = "Name the room."
    daemon.place.write_task(values)
    daemon.run("prompt_version")

    assert daemon.settle() == {TASK: list(DOWNSTREAM)}
    assert daemon.tick() == {}


def test_a_manual_task_is_evaluated_without_waiting_for_an_optimization(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="manual")
    daemon.run(*INGEST)

    assert daemon.settle() == {TASK: ["evaluation", "promotion"]}
    assert daemon.tick() == {}
    daemon.run("optimization_run")  # by hand
    assert daemon.settle() == {TASK: ["evaluation", "promotion"]}
    assert [daemon.tick() for _ in range(2)] == [{}, {}]
    grow(daemon.place, 42)
    daemon.run("dataset")
    assert daemon.settle() == {TASK: ["evaluation", "promotion"]}


def test_a_task_switched_to_automatic_needs_no_reload(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="manual")
    daemon.run(*INGEST)
    daemon.settle()
    daemon.place.write_task(task_values(optimize="automatic"))

    assert daemon.settle() == {TASK: list(DOWNSTREAM)}
    assert daemon.tick() == {}


def test_a_task_without_optimizer_is_never_optimized(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="automatic", optimizer=None)
    daemon.run(*INGEST)

    assert daemon.settle() == {TASK: ["evaluation", "promotion"]}
    assert daemon.tick() == {}


def test_nothing_starts_before_both_inputs_are_there(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="automatic")
    daemon.run("dataset")
    assert daemon.tick() == {}
    daemon.run("prompt_version")

    assert daemon.tick() == {TASK: list(DOWNSTREAM)}


def test_the_whole_loop_run_by_hand_leaves_nothing_to_do(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="automatic")
    daemon.tick()
    daemon.run(*INGEST, *DOWNSTREAM)

    assert [daemon.tick() for _ in range(2)] == [{}, {}]


def test_tasks_do_not_start_each_other(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="manual")
    daemon.place.write_task({**task_values(optimize="manual"), "name": "second"})
    daemon.run(*INGEST)
    daemon.run(*INGEST, task="second")
    assert daemon.settle() == {name: ["evaluation", "promotion"] for name in (TASK, "second")}
    grow(daemon.place, 42)
    daemon.run("dataset", task="second")

    assert daemon.settle() == {"second": ["evaluation", "promotion"]}
    assert daemon.tick() == {}


def test_what_came_into_production_is_compressed_once_where_the_task_asks(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="manual", compress={"start": "automatic"})
    daemon.run(*INGEST)
    assert daemon.settle() == {TASK: ["evaluation", "promotion"]}
    assert daemon.settle() == {TASK: ["compression", "promotion"]}
    assert [daemon.tick() for _ in range(3)] == [{}, {}, {}]

    grow(daemon.place, 42)
    daemon.run("dataset")
    assert daemon.settle() == {TASK: ["evaluation", "promotion"]}
    assert daemon.tick() == {}, "the same prompt is in production as before"
    daemon.run("optimization_run")  # by hand
    assert daemon.settle() == {TASK: ["evaluation", "promotion"]}


def test_a_failed_compression_is_not_tried_again_and_again(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="manual", compress={"start": "automatic"})
    daemon.run(*INGEST)
    daemon.settle()
    assert daemon.tick() == {TASK: ["compression", "promotion"]}
    running = daemon.start("compression", "promotion")
    assert daemon.tick() == {}
    daemon.instance.report_run_failed(running)

    assert [daemon.tick() for _ in range(3)] == [{}, {}, {}]


def test_a_task_switched_to_compress_by_itself_needs_no_reload(make_daemon: MakeDaemon) -> None:
    daemon = make_daemon(optimize="manual")
    daemon.run(*INGEST)
    daemon.settle()
    assert daemon.tick() == {}
    daemon.place.write_task(task_values(optimize="manual", compress={"start": "automatic"}))

    assert daemon.settle() == {TASK: ["compression", "promotion"]}
    assert daemon.tick() == {}


@pytest.mark.filterwarnings("ignore:Function `AssetSelection.keys`:DeprecationWarning")  # Dagster itself calls it
def test_many_tasks_at_once_are_one_backfill_in_few_runs(make_daemon: MakeDaemon) -> None:
    """As the daemon asks the sensor: one request per tick, not one per task."""
    daemon = make_daemon(optimize="manual")
    names = [f"task_{number:03d}" for number in range(60)]
    daemon.instance.add_dynamic_partitions("tasks", names)
    for asset in INGEST:
        for name in names:
            made = dg.AssetMaterialization(asset, partition=name, tags={"dagster/data_version": f"{asset} of {name}"})
            daemon.instance.report_runless_asset_event(made)
    unleaked = dg.AssetCheckEvaluation(asset_key=dg.AssetKey("dataset"), check_name="split_leakage", passed=True)
    daemon.instance.report_runless_asset_event(unleaked)
    repository = daemon.definitions.get_repository_def()
    sensor = repository.get_sensor_def("downstream_automation")
    requests: list[dg.RunRequest] = []
    cursor: str | None = None
    for _ in range(2):
        with dg.build_sensor_context(daemon.instance, cursor=cursor, repository_def=repository) as context:
            ticked = sensor.evaluate_tick(context)
        requests += ticked.run_requests or []
        cursor = ticked.cursor

    (request,) = requests
    subset = request.asset_graph_subset
    assert subset is not None
    wanted = {key.to_user_string(): subset.get_partitions_subset(key).get_partition_keys() for key in subset.asset_keys}
    assert {asset: sorted(keys) for asset, keys in wanted.items()} == {"evaluation": names, "promotion": names}
    policy = daemon.definitions.resolve_asset_graph().get(dg.AssetKey("evaluation")).backfill_policy
    assert policy is not None
    assert len(key_ranges(names, names, policy.max_partitions_per_run)) == 3
