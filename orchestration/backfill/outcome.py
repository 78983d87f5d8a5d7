"""What became of a backfill's partitions, read from its runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from assets.one_partition import FAILED_PARTITIONS
from assets.partition_ranges import keys_of_run
from orchestration.backfill.graph import keys_in_order, nodes
from orchestration.backfill.records import BACKFILL_TAG
from orchestration.backfill.types import Backfill, PartitionFailure, RunSummary

_BY_A_SIGNAL = "UNEXPECTED_TERMINATION"  # Dagster exports no name for it
_EVENTS = {
    dg.DagsterEventType.ASSET_MATERIALIZATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.RUN_CANCELED,
}


@dataclass(slots=True)
class Outcome:
    """Partitions made by asset, failures, and the runs."""

    made: dict[str, set[str]] = field(default_factory=dict)
    failed: dict[tuple[str, str], PartitionFailure] = field(default_factory=dict)
    runs: list[RunSummary] = field(default_factory=list)


def read_outcome(instance: dg.DagsterInstance, backfill: Backfill) -> Outcome:
    """What the backfill's runs made and where they failed, so far.

    A partition that failed in one run and was made by a later one is made. What is made from a partition that failed is
    not made either, and is named with that reason. A run in the launching process that a signal ended failed nothing:
    its partitions wait for the next launch.
    """
    outcome = Outcome({asset: set() for asset in backfill.targets})
    partition_set = next((nodes()[asset].partition_set for asset in backfill.targets), "tasks")
    order = keys_in_order(partition_set, instance)
    found = instance.get_run_records(dg.RunsFilter(tags={BACKFILL_TAG: backfill.id}), ascending=True)
    for record in found:
        _read_run(instance, record.dagster_run, order, backfill, outcome)
    for place in [place for place in outcome.failed if place[1] in outcome.made[place[0]]]:
        del outcome.failed[place]
    _follow(backfill, outcome)
    return outcome


def is_interruption(event: dg.DagsterEvent) -> bool:
    """Whether a signal (Ctrl-C, SIGTERM) ended the run, and this says so."""
    if event.event_type != dg.DagsterEventType.RUN_FAILURE:
        return False
    data: Any = event.event_specific_data  # None where somebody else reported the failure
    reason = None if data is None else data.failure_reason
    return reason is not None and reason.value == _BY_A_SIGNAL


def _read_run(
    instance: dg.DagsterInstance, run: dg.DagsterRun, order: Sequence[str], backfill: Backfill, outcome: Outcome
) -> None:
    keys = keys_of_run(run.tags, order)
    assets = [one for one in backfill.targets if dg.AssetKey.from_user_string(one) in (run.asset_selection or ())]
    outcome.runs.append(RunSummary(run.run_id, run.status.value, tuple(assets), len(keys)))
    told = _read_events(instance, run)
    for asset, key in told.made:
        outcome.made.setdefault(asset, set()).add(key)
    waits = backfill.way == "in_process" and told.interrupted
    if not run.is_finished or run.is_success or waits:
        return
    for asset in assets:
        wanted = set(backfill.targets[asset])
        for key in keys:
            if key in wanted:
                reason = told.reasons.get(key, told.general)
                outcome.failed[asset, key] = PartitionFailure(asset, key, reason, run.run_id)


@dataclass(slots=True)
class _Told:
    """What the events of a run say: assets with partitions that were made, and why others were not."""

    general: str
    made: list[tuple[str, str]] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)
    interrupted: bool = False


def _read_events(instance: dg.DagsterInstance, run: dg.DagsterRun) -> _Told:
    told = _Told(f"its run ended as {run.status.value}")
    for entry in instance.all_logs(run.run_id, of_type=_EVENTS):
        event = entry.dagster_event
        if event is None:
            continue
        told.interrupted = told.interrupted or is_interruption(event)
        if event.is_step_materialization:
            made = event.step_materialization_data.materialization
            told.made.append((made.asset_key.to_user_string(), str(made.partition)))
        elif event.is_step_failure:
            named = _named(event)
            told.reasons.update(named)
            told.general = told.general if named else _reason(event)
        elif event.message and not told.reasons and "Steps failed" not in event.message:
            told.general = event.message
    return told


def _named(event: dg.DagsterEvent) -> dict[str, str]:
    """The reasons by partition that a step of many partitions gave."""
    told = event.step_failure_data.user_failure_data
    named = told.metadata.get(FAILED_PARTITIONS) if told is not None else None
    value = named.value if isinstance(named, dg.JsonMetadataValue) else None
    return {str(key): str(reason) for key, reason in value.items()} if isinstance(value, Mapping) else {}


def _reason(event: dg.DagsterEvent) -> str:
    failure = event.step_failure_data
    if failure.user_failure_data is not None and failure.user_failure_data.description:
        return failure.user_failure_data.description
    error = failure.error.cause or failure.error if failure.error else None
    return error.message.strip() if error else (event.message or "failed")


def _follow(backfill: Backfill, outcome: Outcome) -> None:
    """Mark what comes after a failure, in the order in which assets are made."""
    graph = nodes()
    for asset, keys in backfill.targets.items():
        parents = [parent for parent in graph[asset].parents if parent in backfill.targets]
        for key in keys:
            if key in outcome.made[asset] or (asset, key) in outcome.failed:
                continue
            broken = next(_broken(parents, key, outcome), None)
            if broken is not None:
                outcome.failed[asset, key] = PartitionFailure(asset, key, f"not made: {broken} failed")


def _broken(parents: Iterable[str], key: str, outcome: Outcome) -> Iterator[str]:
    return (parent for parent in parents if (parent, key) in outcome.failed)
