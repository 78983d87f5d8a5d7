"""Assets whose runs may cover many partitions: each is made by itself, and one that fails costs no other its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg
from upath import UPath

from assets.check_summary import summarized
from assets.partition_ranges import keys_to_make
from assets.permanent_failure import stamp
from assets.provenance import Provenance
from resources.call_metadata import collected
from resources.storage_io_manager import write_handle

FAILED_PARTITIONS = "failed_partitions"
PERMANENTLY_FAILED = "permanently_failed_partitions"
BACKFILL_TAG = "dagster/backfill"
CANCELED = "CANCELED"
_SHOWN = 5

AssetEvent = dg.Output[Any] | dg.AssetCheckResult


class OnePartition:
    """What making one partition of an asset needs of Dagster's context: the same, however many a run covers.

    Attributes:
        shares_run: the run makes others, too.
    """

    def __init__(self, context: dg.AssetExecutionContext, partition_key: str, *, shares_run: bool = False) -> None:
        self.partition_key = partition_key
        self.shares_run = shares_run
        self.log = context.log
        self.instance = context.instance
        self.run = context.run


Make = Callable[[OnePartition], Iterator[AssetEvent]]


def each_partition(context: dg.AssetExecutionContext, root: UPath, make: Make) -> Iterator[AssetEvent]:
    """Make every partition of the run, in order; `make` yields one output and its checks, as for a run of its own.

    A run of one partition is what it always was. In a run of several, each is recorded with a data version and
    metadata of its own as soon as it is made. Failures are collected: the step fails at the end and names them, while
    what was made stays.

    Args:
        root: the storage root, where the handles that other assets read are written.

    Raises:
        dagster.Failure: one of several partitions failed, the backfill was cancelled meanwhile, or assets made from
            this one are in the same run of several partitions. With a single partition, whatever `make` raises.
    """
    covered = context.partition_keys
    if len(covered) == 1:
        yield from _with_calls(OnePartition(context, covered[0]), make)
        return
    _refuse_chain(context)
    keys = keys_to_make(context.run.tags, covered)
    many = _ManyPartitions(context, root, make)
    for key in keys:
        if _is_canceled(context):
            many.leave_out(key)
        else:
            many.make(key)
    yield from many.checks()
    many.raise_failures(len(keys))


class _ManyPartitions:
    def __init__(self, context: dg.AssetExecutionContext, root: UPath, make: Make) -> None:
        self._context = context
        self._root = root
        self._make = make
        self._provenance = Provenance(context)
        self._results: dict[str, list[dg.AssetCheckResult]] = {}
        self._failed: dict[str, str] = {}
        self._permanent: list[str] = []

    def make(self, key: str) -> None:
        one = OnePartition(self._context, key, shares_run=True)
        try:
            made_from = self._provenance.tags(key)
            for event in _with_calls(one, self._make):
                if isinstance(event, dg.AssetCheckResult):
                    self._results.setdefault(key, []).append(event)
                else:
                    self._record(key, event, made_from)
        except dg.Failure as failure:
            self._failed[key] = failure.description or "failed"
            if not failure.allow_retries:
                self._permanent.append(key)
            self._context.log.warning(f"{key}: {failure.description}")
        except Exception as error:  # a bug in one task must not cost the others their work; it fails the run below
            # Alerts quote the reason, and the error's text may quote a row.
            self._failed[key] = f"{type(error).__name__}; the run's log says more"
            self._context.log.exception(f"{key} met an error that nobody expected")

    def leave_out(self, key: str) -> None:
        self._failed[key] = "not made: the backfill was cancelled"

    def checks(self) -> Iterator[dg.AssetCheckResult]:
        return summarized(self._results)

    def raise_failures(self, tried: int) -> None:
        if not self._failed:
            return
        if self._permanent:
            stamp(self._context.instance, self._context.run.run_id)
        named = "; ".join(f"{key}: {reason}" for key, reason in list(self._failed.items())[:_SHOWN])
        more = f"; and {len(self._failed) - _SHOWN} more" if len(self._failed) > _SHOWN else ""
        raise dg.Failure(
            f"{len(self._failed)} of {tried} partitions failed: {named}{more}",
            metadata={
                FAILED_PARTITIONS: dg.MetadataValue.json(self._failed),
                PERMANENTLY_FAILED: dg.MetadataValue.json(self._permanent),
            },
            allow_retries=False,
        )

    def _record(self, key: str, output: dg.Output[Any], made_from: Mapping[str, str]) -> None:
        asset = self._context.asset_key
        write_handle(self._root, asset.path, key, output.value)
        tags = {**made_from, **self._provenance.made(output.data_version)}
        self._context.log_event(
            dg.AssetMaterialization(asset_key=asset, partition=key, metadata=dict(output.metadata), tags=tags)
        )


def _with_calls(one: OnePartition, make: Make) -> Iterator[AssetEvent]:
    """What `make` yields; the output's metadata say what its calls came to, where it made any."""
    for event in make(one):
        if isinstance(event, dg.Output):
            yield event.with_metadata({**event.metadata, **collected(one)})
        else:
            yield event


def _refuse_chain(context: dg.AssetExecutionContext) -> None:
    """Recorded one by one, nothing is handed on inside the run: what comes after would be skipped without a word."""
    graph = context.job_def.asset_layer.asset_graph
    selected = context.run.asset_selection or graph.executable_asset_keys
    after = sorted(key.to_user_string() for key in graph.get(context.asset_key).child_keys if key in selected)
    if after:
        raise dg.Failure(
            f"{context.asset_key.to_user_string()} and what is made from it ({', '.join(after)}) cannot be made for "
            f"{len(context.partition_keys)} partitions in one run. Mend: launch a backfill, which takes one after the "
            "other, or one partition at a time.",
            allow_retries=False,
        )


def _is_canceled(context: dg.AssetExecutionContext) -> bool:
    """A run in a process of ours gets no signal when its backfill is cancelled: it looks."""
    backfill_id = context.run.tags.get(BACKFILL_TAG)
    if backfill_id is None:
        return False
    backfill = context.instance.get_backfill(backfill_id)
    return backfill is not None and backfill.status.value == CANCELED
