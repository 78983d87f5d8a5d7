"""Which partitions of an asset need to be made, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg

from assets.provenance import CODE_VERSION
from orchestration.backfill.graph import TASKS, AssetNode
from orchestration.backfill.materialized import Tags, data_versions, is_behind, newest_tags, written_at

FORCED = "asked for"
NEVER_MADE = "never made"
FILES_CHANGED = "files changed"
INPUTS_CHANGED = "inputs changed"
CODE_CHANGED = "code changed"
UPSTREAM = "made from what is made again"
NOT_OVER = "the day is not over, or was written before it was"
# As the nightly schedule: attempts of killed processes are booked when they are found.
LATE_ROWS = timedelta(days=2)


@dataclass(slots=True)
class Need:
    """Of one asset: why each partition is to be made; those that are fresh, and those that cannot be made."""

    node: AssetNode
    stale: dict[str, str] = field(default_factory=dict)
    fresh: list[str] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)


def needs_of_tasks(
    instance: dg.DagsterInstance,
    chosen: Sequence[AssetNode],
    partitions: Sequence[str],
    changed: Mapping[str, frozenset[str]],
    left_out: Mapping[str, Mapping[str, str]],
    *,
    force: bool,
) -> list[Need]:
    """One `Need` per asset, in their order; what is made from something that is made again is made again, too.

    Args:
        changed: by asset that reads files: partitions whose files say something else than what is stored.
        left_out: by asset: partitions that it cannot be made for, with the reason.
    """
    parents = {parent for node in chosen for parent in node.parents}
    versions = {parent: data_versions(instance, parent) for parent in parents}
    wanted = frozenset(partitions)
    needs: dict[str, Need] = {}
    for node in chosen:
        made = newest_tags(instance, node.name, wanted)
        need = needs[node.name] = Need(node)
        again = [needs[parent].stale for parent in node.parents if parent in needs]
        for key in partitions:
            if key in left_out.get(node.name, {}):
                need.left_out[key] = left_out[node.name][key]
                continue
            inputs = {parent: versions[parent][key] for parent in node.parents if key in versions[parent]}
            reason = _reason(node, made.get(key), inputs)
            if reason is None and key in changed.get(node.name, frozenset()):
                reason = FILES_CHANGED
            if reason is None and any(key in stale for stale in again):
                reason = UPSTREAM
            _note(need, key, FORCED if reason is None and force else reason)
    return list(needs.values())


def needs_of_days(
    instance: dg.DagsterInstance, chosen: Sequence[AssetNode], days: Sequence[str], now: datetime, *, force: bool
) -> list[Need]:
    """A day is fresh once it was written when no more rows could be booked on it."""
    needs: list[Need] = []
    for node in chosen:
        written = written_at(instance, node.name, days)
        need = Need(node)
        for day in days:
            complete = datetime.combine(date.fromisoformat(day), time(), UTC) + timedelta(days=1) + LATE_ROWS
            at = written.get(day)
            reason = NEVER_MADE if at is None else (NOT_OVER if at < min(complete, now) and at < complete else None)
            _note(need, day, FORCED if reason is None and force else reason)
        needs.append(need)
    return needs


def _reason(node: AssetNode, made: Tags | None, inputs: Mapping[str, str]) -> str | None:
    if made is None:
        return NEVER_MADE
    if node.partition_set == TASKS and made.get(CODE_VERSION) != node.code_version:
        return CODE_CHANGED
    return INPUTS_CHANGED if is_behind(made, inputs) else None


def _note(need: Need, key: str, reason: str | None) -> None:
    if reason is None:
        need.fresh.append(key)
    else:
        need.stale[key] = reason
