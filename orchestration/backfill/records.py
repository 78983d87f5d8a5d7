"""Backfills as the Dagster instance keeps them: the only file that knows Dagster's own record of one.

Dagster has no public call that launches a backfill from Python. Its GraphQL mutation gives every backfill a random id
and cannot be asked for one by its tags, so that a launcher that was killed, or two at once, would launch twice. The
record itself is kept under a unique id: with an id that follows from the caller's key, the instance refuses the second
one, and launching is a single insert that happens or does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from sqlalchemy.exc import IntegrityError

from domain.errors import ConflictError, NotFoundError
from domain.identity import content_id
from orchestration.backfill.graph import nodes, partitions_of
from orchestration.backfill.selection import Request
from orchestration.backfill.types import Backfill, State, Way

KEY_TAG = "promptory/backfill_key"
REQUEST_TAG = "promptory/backfill_request"
WAY_TAG = "promptory/backfill_way"
BACKFILL_TAG = "dagster/backfill"
_ID_LENGTH = 20  # Dagster's column holds 32

# What the daemon looks for are requested ones; it must not take up what another process makes. To Dagster the runs of
# such a backfill are handed over from the start, which is what this old word of its means.
_AT_START: Mapping[Way, BulkActionStatus] = {
    "daemon": BulkActionStatus.REQUESTED,
    "in_process": BulkActionStatus.COMPLETED,
}
_STATES: Mapping[BulkActionStatus, State] = {
    BulkActionStatus.REQUESTED: "running",
    BulkActionStatus.COMPLETED: "running",
    BulkActionStatus.FAILING: "running",
    BulkActionStatus.CANCELING: "canceling",
    BulkActionStatus.CANCELED: "canceled",
    BulkActionStatus.COMPLETED_SUCCESS: "succeeded",
    BulkActionStatus.COMPLETED_FAILED: "failed",
    BulkActionStatus.FAILED: "failed",
}


class Record:
    """One backfill as stored."""

    def __init__(self, stored: PartitionBackfill) -> None:
        self._stored = stored

    @property
    def state(self) -> State:
        """What Dagster says of it."""
        return _STATES[self._stored.status]

    @property
    def error(self) -> str | None:
        """What went wrong in the daemon, if anything did."""
        return None if self._stored.error is None else self._stored.error.message.strip()

    @property
    def request(self) -> str:
        """The digest of what was asked for."""
        return self._stored.tags[REQUEST_TAG]

    @property
    def backfill(self) -> Backfill:
        """What it is."""
        tags = self._stored.tags
        way: Way = "in_process" if tags[WAY_TAG] == "in_process" else "daemon"
        created = datetime.fromtimestamp(self._stored.backfill_timestamp, UTC)
        return Backfill(tags[KEY_TAG], self._stored.backfill_id, way, created, self._targets())

    def _targets(self) -> dict[str, tuple[str, ...]]:
        data = self._stored.asset_backfill_data
        if data is None:
            return {}
        subsets = data.target_subset.partitions_subsets_by_asset_key
        found = {key.to_user_string(): subset for key, subset in subsets.items()}
        return {name: tuple(sorted(found[name].get_partition_keys())) for name in nodes() if name in found}


def id_of(key: str) -> str:
    """Dagster's id of the backfill with this key."""
    return content_id(["backfill", key])[:_ID_LENGTH]


def find(instance: dg.DagsterInstance, key: str) -> Record | None:
    """The backfill with this key, or with this id."""
    stored = instance.get_backfill(id_of(key)) or instance.get_backfill(key)
    return Record(stored) if stored is not None and KEY_TAG in stored.tags else None


def get(instance: dg.DagsterInstance, key: str) -> Record:
    """The backfill with this key, or with this id.

    Raises:
        NotFoundError: none was launched under it.
    """
    found = find(instance, key)
    if found is None:
        raise NotFoundError(
            f"no backfill was launched with the key {key!r}", field="key", mend="`promptory backfill list` shows all."
        )
    return found


def newest(instance: dg.DagsterInstance, limit: int) -> list[Record]:
    """The backfills launched here last, newest first; those that somebody launched in the UI are not among them."""
    found: list[Record] = []
    cursor: str | None = None
    while len(found) < limit:
        page = instance.get_backfills(cursor=cursor, limit=100)
        found.extend(Record(stored) for stored in page if KEY_TAG in stored.tags)
        if len(page) < 100:
            break
        cursor = page[-1].backfill_id
    return found[:limit]


def add(
    instance: dg.DagsterInstance,
    key: str,
    request: Request,
    way: Way,
    targets: Mapping[str, Sequence[str]],
    now: datetime,
) -> tuple[Record, bool]:
    """Store a backfill, once: the one of this key, and whether it is new.

    Raises:
        ConflictError: the key stands for another request.
    """
    subset = AssetGraphSubset(
        partitions_subsets_by_asset_key={
            dg.AssetKey.from_user_string(asset): partitions_of(asset).subset_with_partition_keys(list(keys))
            for asset, keys in targets.items()
            if keys
        }
    )
    made = PartitionBackfill.from_asset_graph_subset(
        backfill_id=id_of(key),
        backfill_timestamp=now.timestamp(),
        tags={KEY_TAG: key, REQUEST_TAG: request.digest, WAY_TAG: way},
        dynamic_partitions_store=instance,
        asset_graph_subset=subset,
        title=None,
        description=f"promptory backfill launch --key {key}",
        run_config=None,
    ).with_status(_AT_START[way])
    try:
        instance.add_backfill(made)
    except IntegrityError:
        return same(get(instance, key), request), False
    return Record(made), True


def same(record: Record, request: Request) -> Record:
    """`record`, if it is of this request.

    Raises:
        ConflictError: the key stands for another request.
    """
    if record.request != request.digest:
        backfill = record.backfill
        raise ConflictError(
            f"the key {backfill.key!r} stands for another backfill, of {', '.join(backfill.targets) or 'nothing'}",
            field="key",
            mend="choose another key; to watch that one, ask for its status.",
        )
    return record


def set_canceled(instance: dg.DagsterInstance, backfill: Backfill) -> None:
    """Ask the daemon to stop it and its runs; an in-process one is over at once, its process looks."""
    stored = instance.get_backfill(backfill.id)
    if stored is None:
        return
    status = BulkActionStatus.CANCELING if backfill.way == "daemon" else BulkActionStatus.CANCELED
    instance.update_backfill(stored.with_status(status))


def set_over(instance: dg.DagsterInstance, backfill: Backfill, now: datetime, *, failed: bool) -> None:
    """Say how an in-process backfill ended; a cancelled one stays cancelled."""
    stored = instance.get_backfill(backfill.id)
    if stored is None or stored.status == BulkActionStatus.CANCELED:
        return
    status = BulkActionStatus.COMPLETED_FAILED if failed else BulkActionStatus.COMPLETED_SUCCESS
    instance.update_backfill(stored.with_status(status).with_end_timestamp(now.timestamp()))
