"""The public calls: plan, launch, status, cancel, wait, list."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Literal
from uuid import uuid4

import dagster as dg

from assets.partitions import add_partitions, tasks_partitions
from domain.errors import ConfigurationError, InputError
from orchestration.backfill import records
from orchestration.backfill.daemon import has_daemon
from orchestration.backfill.graph import AssetNode, chosen
from orchestration.backfill.in_process import alone, is_worked_on, make_runs
from orchestration.backfill.outcome import Outcome, read_outcome
from orchestration.backfill.planning import make_plan
from orchestration.backfill.records import Record
from orchestration.backfill.selection import Request, Selection, make_request
from orchestration.backfill.types import Backfill, Plan, State, Status, Way
from orchestration.environments import Environment
from orchestration.instance import open_instance
from orchestration.launch import LOG_FILE
from orchestration.quiet_streams import streams_to_file
from resources.database.schema import require_current
from resources.database.session import Database, open_database
from sensors.lost_retries import waiting_retries

POLL_S = 5.0
Watch = Callable[[Status], None]


def plan(
    assets: Sequence[str],
    partitions: Selection = "all",
    *,
    force: bool = False,
    environment: Environment | None = None,
) -> Plan:
    """What making `assets` for `partitions` would do now. Nothing is asked, stored or paid.

    Args:
        assets: names of assets that share one partition set; `dataset`, `prompt_version`, `optimization_run`,
            `evaluation` and `promotion` are by task, `call_log` is by day.
        partitions: `"all"`, or one or any of: keys, patterns (`support_*`), ranges in the order of the set
            (`2026-11-01..2026-11-07`).
        force: make what is fresh as well. It pays for nothing twice, but it is work.
        environment: of this process where none is given.

    Raises:
        InputError: an asset is unknown, assets have different partition sets, or a settings file is not usable.
        NotFoundError: a partition is unknown.
        ConfigurationError: settings or the Dagster instance cannot be used.
        DatabaseUnavailableError, SchemaVersionError: the database cannot be read.
    """
    nodes = chosen(assets)
    with _opened(environment) as (used, instance, database):
        return make_plan(used, instance, database, nodes, partitions, force=force)


def launch(
    assets: Sequence[str],
    partitions: Selection = "all",
    *,
    key: str | None = None,
    force: bool = False,
    way: Way | Literal["auto"] = "auto",
    environment: Environment | None = None,
    watch: Watch | None = None,
    verbose: bool = False,
) -> Backfill:
    """Start making `assets` for `partitions`, once per `key`.

    With a daemon on the instance, Dagster's own backfill machinery makes the runs, and this returns at once. Without
    one, the runs are made in this process and this returns when they are over. A launcher that was killed launches
    again with the same key: either nothing had been stored, or the backfill is there and (in process) goes on from what
    is made.

    Args:
        key: names the backfill; launching the same request under it again gives the same one. A new one if None.
        way: `auto` asks whether a daemon has shown itself in the last two minutes.
        watch: in process: told of the status after every run.
        verbose: in process: print what runs log; otherwise it goes to `<home>/cli-runs.log`.
        assets, partitions, force, environment: as for `plan`.

    Raises:
        ConflictError: `key` stands for another request.
        InputError: nothing is to be made, `key` is blank, or as for `plan`.
        RunFailedError: a signal ended it in this process; launched again with its key, it goes on.
        NotFoundError, ConfigurationError, DatabaseUnavailableError, SchemaVersionError: as for `plan`.
    """
    nodes = chosen(assets)
    name = _name(key)
    request = make_request([node.name for node in nodes], partitions, force)
    with _opened(environment) as (used, instance, database):
        record = records.find(instance, name) or _new(used, instance, database, nodes, partitions, name, request, way)
        backfill = records.same(record, request).backfill
        if backfill.way == "in_process" and record.state == "running":
            _work(used, instance, backfill, watch, verbose=verbose)
        return backfill


def status(key: str, *, environment: Environment | None = None) -> Status:
    """How far the backfill with this key (or id) is, which partitions failed and why.

    Raises:
        NotFoundError: none was launched under it.
        ConfigurationError: the Dagster instance cannot be used.
    """
    used = environment or Environment.read()
    with open_instance(used) as instance:
        return _status(used, instance, records.get(instance, key))


def cancel(key: str, *, environment: Environment | None = None) -> Status:
    """Stop a backfill: what is made stays, no further run starts. Of one that is over nothing changes.

    Runs that a daemon launched are terminated; a run in the launching process stops before its next partition.

    Raises:
        NotFoundError: none was launched under it.
        ConfigurationError: the Dagster instance cannot be used.
    """
    used = environment or Environment.read()
    with open_instance(used) as instance:
        record = records.get(instance, key)
        if record.state == "running":
            records.set_canceled(instance, record.backfill)
        return _status(used, instance, records.get(instance, key))


def wait(
    key: str,
    *,
    timeout_s: float | None = None,
    environment: Environment | None = None,
    watch: Watch | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Status:
    """Look at the backfill every few seconds until it is over (or, in process, interrupted); its last status.

    Args:
        timeout_s: seconds to wait at most; None: as long as it takes.
        watch: told of every look.

    Raises:
        TimeoutError: it was not over in time; it goes on.
        NotFoundError, ConfigurationError: as for `status`.
    """
    end = None if timeout_s is None else clock() + timeout_s
    while True:
        seen = status(key, environment=environment)
        if watch is not None:
            watch(seen)
        if seen.is_over or seen.state == "interrupted":
            return seen
        if end is not None and clock() >= end:
            raise TimeoutError(f"backfill {seen.backfill.key!r} is not over after {timeout_s:g} s")
        sleep(POLL_S)


def list_backfills(*, limit: int = 20, environment: Environment | None = None) -> list[tuple[Backfill, State]]:
    """The backfills launched here last, newest first, with their states.

    Raises:
        ConfigurationError: the Dagster instance cannot be used.
    """
    used = environment or Environment.read()
    with open_instance(used) as instance:
        return [(record.backfill, _state(used, instance, record)) for record in records.newest(instance, limit)]


@contextmanager
def _opened(environment: Environment | None) -> Iterator[tuple[Environment, dg.DagsterInstance, Database]]:
    used = environment or Environment.read()
    if not used.catalog.is_dir():
        raise ConfigurationError("there is no catalog here", file=str(used.catalog), field="PROMPTORY_CATALOG")
    database = open_database(used.database)
    try:
        require_current(database)
        with open_instance(used) as instance:
            yield used, instance, database
    finally:
        database.dispose()


def _name(key: str | None) -> str:
    if key is None:
        return uuid4().hex[:12]
    if not key.strip():
        raise InputError(
            "the key is blank",
            field="key",
            mend="give it a name, or leave it out for a new one (is a variable unset?).",
        )
    return key


def _new(
    environment: Environment,
    instance: dg.DagsterInstance,
    database: Database,
    nodes: Sequence[AssetNode],
    partitions: Selection,
    key: str,
    request: Request,
    way: Way | Literal["auto"],
) -> Record:
    planned = make_plan(environment, instance, database, nodes, partitions, force=request.force, with_costs=False)
    if not planned.to_run:
        made_meanwhile = records.find(instance, key)
        if made_meanwhile is not None:
            return made_meanwhile
        left_out = "".join(f"; not in the plan: {problem}" for problem in planned.problems)
        raise InputError(
            f"nothing is to be made: all of {len(planned.partitions)} partitions are fresh{left_out}",
            field="partitions",
            mend="`--force` makes them again.",
        )
    add_partitions(instance, tasks_partitions, planned.new_partitions)
    now = datetime.now(UTC)
    if way == "auto":
        way = "daemon" if has_daemon(instance, now.timestamp()) else "in_process"
    return records.add(instance, key, request, way, {one.asset: one.to_run for one in planned.assets}, now)[0]


def _work(
    environment: Environment,
    instance: dg.DagsterInstance,
    backfill: Backfill,
    watch: Watch | None,
    *,
    verbose: bool,
) -> None:
    def progress(outcome: Outcome) -> None:
        if watch is not None:
            watch(_status_of(backfill, "running", outcome, None))

    with alone(environment, backfill.id) as free:
        if free:  # otherwise another process makes it, and this launch changes nothing
            with nullcontext() if verbose else streams_to_file(environment.home / LOG_FILE):
                make_runs(environment, instance, backfill, progress)


def _status(environment: Environment, instance: dg.DagsterInstance, record: Record) -> Status:
    backfill = record.backfill
    state = _state(environment, instance, record)
    return _status_of(backfill, state, read_outcome(instance, backfill), record.error)


def _state(environment: Environment, instance: dg.DagsterInstance, record: Record) -> State:
    backfill = record.backfill
    if record.state == "failed" and waiting_retries(instance, datetime.now(UTC), backfill.id):
        return "running"  # the daemon ended it too early; the sensor of lost retries opens it again
    if backfill.way == "in_process" and record.state == "running" and not is_worked_on(environment, backfill.id):
        return "interrupted"
    return record.state


def _status_of(backfill: Backfill, state: State, outcome: Outcome, error: str | None) -> Status:
    made = {asset: tuple(key for key in keys if key in outcome.made[asset]) for asset, keys in backfill.targets.items()}
    return Status(backfill, state, made, tuple(outcome.failed.values()), tuple(outcome.runs), error)
