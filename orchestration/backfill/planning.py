"""What a backfill would do, without doing it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import dagster as dg

from assets.partition_ranges import key_ranges
from orchestration.backfill.catalog_state import CatalogState, read_catalog
from orchestration.backfill.costs import CostEstimator, Estimate
from orchestration.backfill.freshness import Need, needs_of_days, needs_of_tasks
from orchestration.backfill.graph import TASKS, AssetNode, keys_in_order
from orchestration.backfill.selection import Selection, select
from orchestration.backfill.types import AssetPlan, Plan
from orchestration.environments import Environment
from resources.database.session import Database

READ_FILES = frozenset({"dataset", "prompt_version"})
Estimator = Callable[[str, Sequence[str]], Estimate]


def make_plan(
    environment: Environment,
    instance: dg.DagsterInstance,
    database: Database,
    assets: Sequence[AssetNode],
    partitions: Selection,
    *,
    force: bool,
    with_costs: bool = True,
) -> Plan:
    """The plan of making `assets` for `partitions`.

    Raises:
        NotFoundError: a partition is unknown.
        ConfigurationError, InputError: the settings are not usable.
        DatabaseUnavailableError, SchemaVersionError: the database cannot be read.
    """
    known = keys_in_order(assets[0].partition_set, instance)
    if assets[0].partition_set != TASKS:
        days = select(partitions, known)
        needs = needs_of_days(instance, assets, days, datetime.now(UTC), force=force)
        return Plan("days", days, tuple(_asset_plan(need, known, _nothing) for need in needs))
    catalog = read_catalog(environment, database, with_files=any(one.name in READ_FILES for one in assets))
    there = frozenset(known)
    new = [name for name in catalog.entries if name not in there]
    order = [*known, *new]
    tasks = select(partitions, [name for name in order if name in catalog.entries])
    needs = needs_of_tasks(instance, assets, tasks, catalog.changed, catalog.cannot_be_made(), force=force)
    estimate = _estimator(environment, database, catalog) if with_costs else _nothing
    return Plan(
        "tasks",
        tasks,
        tuple(_asset_plan(need, order, estimate) for need in needs),
        tuple(name for name in new if name in frozenset(tasks)),
        catalog.problems,
    )


def _estimator(environment: Environment, database: Database, catalog: CatalogState) -> Estimator:
    return CostEstimator(environment, database, catalog).estimate


def _nothing(_asset: str, _partitions: Sequence[str]) -> Estimate:
    return Estimate()


def _asset_plan(need: Need, order: Sequence[str], estimate: Estimator) -> AssetPlan:
    to_run = tuple(need.stale)
    found = estimate(need.node.name, to_run)
    return AssetPlan(
        asset=need.node.name,
        to_run=to_run,
        fresh=tuple(need.fresh),
        left_out=need.left_out,
        reasons=dict(Counter(need.stale.values()).most_common()),
        runs=len(key_ranges(order, to_run, need.node.most_per_run)),
        calls=found.calls,
        cost=found.cost,
        estimated_from=found.looked_at,
    )
