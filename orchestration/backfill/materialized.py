"""What the instance knows of many partitions at once: one query per asset, not one per partition.

Dagster's public calls read one partition's newest event at a time. What its own data-version cache uses for many is
asked here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from assets.provenance import DATA_VERSION, INPUT_DATA_VERSION, as_input

Tags = Mapping[str, str]
EVENTS_PER_QUERY = 500


def data_versions(instance: dg.DagsterInstance, asset: str) -> Mapping[str, str]:
    """The data version now of every partition of the asset that has one."""
    tags = instance.event_log_storage.get_latest_tags_by_partition(
        dg.AssetKey.from_user_string(asset), dg.DagsterEventType.ASSET_MATERIALIZATION, [DATA_VERSION]
    )
    return {partition: found[DATA_VERSION] for partition, found in tags.items()}


def newest_tags(instance: dg.DagsterInstance, asset: str, partitions: Collection[str]) -> Mapping[str, Tags]:
    """By partition: the tags of the asset's newest materialization, what it was made from among them.

    Partitions that were never made are absent.
    """
    key = dg.AssetKey.from_user_string(asset)
    newest = instance.get_latest_storage_id_by_partition(key, dg.DagsterEventType.ASSET_MATERIALIZATION)
    wanted = sorted(event for partition, event in newest.items() if partition in partitions)
    tags: dict[str, Tags] = {}
    for start in range(0, len(wanted), EVENTS_PER_QUERY):
        chunk = wanted[start : start + EVENTS_PER_QUERY]
        found = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=key, storage_ids=chunk), limit=len(chunk)
        )
        for record in found.records:
            made = record.asset_materialization
            if made is not None and made.partition is not None:
                tags[made.partition] = made.tags or {}
    return tags


def written_at(instance: dg.DagsterInstance, asset: str, partitions: Sequence[str]) -> dict[str, datetime]:
    """When each partition was made last; those that never were are absent."""
    found: dict[str, datetime] = {}
    wanted = dg.AssetRecordsFilter(asset_key=dg.AssetKey.from_user_string(asset), asset_partitions=list(partitions))
    cursor: str | None = None
    while True:
        page = instance.fetch_materializations(wanted, limit=1000, cursor=cursor)
        for record in page.records:
            if record.partition_key is not None:
                found.setdefault(record.partition_key, datetime.fromtimestamp(record.timestamp, UTC))
        if not page.has_more:
            return found
        cursor = page.cursor


def is_behind(made_from: Tags, inputs: Mapping[str, str]) -> bool:
    """Whether an input has another data version now than the one that was used. `inputs` are those now, by asset."""
    return any(
        made_from.get(f"{INPUT_DATA_VERSION}/{parent}") != as_input(version) for parent, version in inputs.items()
    )
