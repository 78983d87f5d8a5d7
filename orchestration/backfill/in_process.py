"""Making a backfill's runs in this process, where no daemon would."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import dagster as dg

from assets.compression.compression import compression
from assets.partition_ranges import key_ranges
from orchestration.abandoned_runs import close_abandoned_runs, own_tags
from orchestration.backfill import records
from orchestration.backfill.graph import ASSETS, keys_in_order, nodes
from orchestration.backfill.outcome import Outcome, is_interruption, read_outcome
from orchestration.backfill.records import BACKFILL_TAG, KEY_TAG
from orchestration.backfill.types import Backfill
from orchestration.environments import Environment
from orchestration.run_report import RunFailedError
from orchestration.task_resources import build_task_resources

LOCK_FOLDER = "backfills"
LOOKS, LOOK_S = 10, 0.05
"""So often, and after so many seconds, who wants to work asks again: looking takes a moment."""

Progress = Callable[[Outcome], None]


@contextmanager
def alone(environment: Environment, backfill_id: str, sleep: Callable[[float], None] = time.sleep) -> Iterator[bool]:
    """Whether this process is the only one to work on the backfill; if so, it stays that for the block.

    A killed process lets go by itself. Somebody who only looks is waited for.
    """
    with _lock_path(environment, backfill_id).open("w") as lock:
        tries = 0
        while not (free := _locked(lock, fcntl.LOCK_EX)) and tries < LOOKS:
            sleep(LOOK_S)
            tries += 1
        yield free


def is_worked_on(environment: Environment, backfill_id: str) -> bool:
    """Whether a process of this machine works on it now."""
    path = _lock_path(environment, backfill_id)
    if not path.exists():
        return False
    with path.open("w") as lock:  # shared: who looks is in the way of nobody else who does
        return not _locked(lock, fcntl.LOCK_SH)


def _locked(lock: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def make_runs(
    environment: Environment,
    instance: dg.DagsterInstance,
    backfill: Backfill,
    progress: Progress,
) -> None:
    """Make what is not made yet, asset by asset and run by run, until done or cancelled.

    One run at a time: a run's calls are concurrent already, and Dagster captures the output of one run per process.

    A run that fails stops no other; what is made from a failed partition is left out. `progress` is told after every
    run.

    Raises:
        RunFailedError: a signal ended a run; the backfill stays as it is, to be launched again.
        ConfigurationError, InputError: the settings are not usable.
    """
    close_abandoned_runs(instance)
    definitions = _definitions(environment)
    tags = {**own_tags(), BACKFILL_TAG: backfill.id, KEY_TAG: backfill.key}
    for asset, targets in backfill.targets.items():
        outcome = read_outcome(instance, backfill)
        progress(outcome)
        wanted = _still_wanted(asset, targets, outcome)
        node, job = nodes()[asset], definitions.resolve_job_def(_job_name(asset))
        ranges = key_ranges(keys_in_order(node.partition_set, instance), wanted, node.most_per_run)

        for chunk in ranges:
            if _is_canceled(instance, backfill):
                return
            result = job.execute_in_process(
                instance=instance,
                tags={**tags, **chunk.tags},
                asset_selection=[dg.AssetKey.from_user_string(asset)],
                raise_on_error=False,
            )
            progress(read_outcome(instance, backfill))
            _stop_if_interrupted(result, backfill)
    failed = bool(read_outcome(instance, backfill).failed)
    records.set_over(instance, backfill, datetime.now(UTC), failed=failed)


def _stop_if_interrupted(result: dg.ExecuteInProcessResult, backfill: Backfill) -> None:
    """Dagster makes a failed run of Ctrl-C; who pressed it means all runs."""
    if any(is_interruption(event) for event in result.all_events):
        raise RunFailedError(
            f"the backfill {backfill.key!r} was interrupted",
            run_id=result.run_id,
            mend=f"launch it again with --key {backfill.key}: it goes on where it stopped.",
            interrupted=True,
        )


def _definitions(environment: Environment) -> dg.Definitions:
    """A job per asset: a run's job holds exactly what the run makes."""
    return dg.Definitions(
        assets=[*ASSETS, compression],  # which `promotion` reads
        jobs=[_job(name) for name in nodes()],
        resources=build_task_resources(environment),
        executor=dg.in_process_executor,
    )


def _job_name(asset: str) -> str:
    return f"backfill_{asset}"


def _job(asset: str) -> dg.UnresolvedAssetJobDefinition:
    return dg.define_asset_job(_job_name(asset), selection=dg.AssetSelection.assets(asset))


def _still_wanted(asset: str, targets: Sequence[str], outcome: Outcome) -> list[str]:
    """Not made yet. What failed in an earlier attempt at this backfill is tried again, unless its input failed."""
    upstream = {key for (name, key), failure in outcome.failed.items() if name == asset and failure.run_id is None}
    return [key for key in targets if key not in outcome.made[asset] and key not in upstream]


def _is_canceled(instance: dg.DagsterInstance, backfill: Backfill) -> bool:
    return records.get(instance, backfill.key).state == "canceled"


def _lock_path(environment: Environment, backfill_id: str) -> Path:
    folder = environment.home.resolve() / LOCK_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{backfill_id}.lock"
