"""The assets that can be backfilled: their partitions, how many fit into a run, and what they are made from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

import dagster as dg

from assets.costs.call_log import call_log
from assets.datasets.dataset import dataset
from assets.evaluations.evaluation import evaluation
from assets.optimization.optimization_run import optimization_run
from assets.promotions.promotion import promotion
from assets.prompts.prompt_version import prompt_version
from domain.errors import InputError

TASKS = "tasks"
DAYS = "days"
# In an order in which they can be made. Not from the code location: that also loads dbt, which takes seconds.
ASSETS: tuple[dg.AssetsDefinition, ...] = (
    dataset,
    prompt_version,
    optimization_run,
    evaluation,
    promotion,
    call_log,
)


@dataclass(frozen=True, slots=True)
class AssetNode:
    """One asset that can be backfilled.

    Attributes:
        partition_set: `tasks` or `days`.
        most_per_run: partitions per run; None for any number.
        parents: names of the assets it is made from.
        code_version: of its definition; None where it names none.
    """

    name: str
    partition_set: str
    most_per_run: int | None
    parents: tuple[str, ...]
    code_version: str | None


def nodes() -> dict[str, AssetNode]:
    """All of them by name, in an order in which they can be made."""
    return {made.name: made for made in map(_node, ASSETS)}


def chosen(names: Sequence[str]) -> list[AssetNode]:
    """The assets of these names, in an order in which they can be made.

    Raises:
        InputError: none is named, one is unknown, or they have different partition sets.
    """
    known = nodes()
    for name in names:
        if name not in known:
            raise InputError(f"no asset {name!r} can be backfilled", field="assets", mend=_mend(name, known))
    found = [node for node in known.values() if node.name in names]
    sets = {node.partition_set for node in found}
    if len(sets) != 1:
        problem = "no asset is named" if not found else "assets by task and assets by day do not fit into one backfill"
        raise InputError(problem, field="assets", mend=f"name some of: {', '.join(known)}.")
    return found


def partitions_of(asset: str) -> dg.PartitionsDefinition:
    """The partition set of an asset as Dagster defines it."""
    definition = next(one for one in ASSETS if one.key.to_user_string() == asset)
    partitions = definition.partitions_def
    if partitions is None:
        raise AssertionError(f"{asset} has no partitions")
    return partitions


def keys_in_order(partition_set: str, instance: dg.DagsterInstance) -> list[str]:
    """All keys that Dagster knows now, in its order, from which the ranges of runs are cut."""
    if partition_set == TASKS:
        return list(instance.get_dynamic_partitions(TASKS))
    return list(partitions_of("call_log").get_partition_keys())


def _node(definition: dg.AssetsDefinition) -> AssetNode:
    spec = definition.get_asset_spec()
    policy = definition.backfill_policy
    dynamic = isinstance(definition.partitions_def, dg.DynamicPartitionsDefinition)
    return AssetNode(
        name=spec.key.to_user_string(),
        partition_set=TASKS if dynamic else DAYS,
        most_per_run=1 if policy is None else policy.max_partitions_per_run,
        parents=tuple(sorted(dep.asset_key.to_user_string() for dep in spec.deps)),
        code_version=spec.code_version,
    )


def _mend(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"did you mean `{close[0]}`?" if close else f"those that can: {', '.join(known)}."
