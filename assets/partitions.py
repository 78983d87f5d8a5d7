"""The partition sets assets share, and how many of their partitions one run of a backfill makes."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from sqlalchemy.exc import IntegrityError

tasks_partitions = dg.DynamicPartitionsDefinition(name="tasks")
experiments_partitions = dg.DynamicPartitionsDefinition(name="experiments")

# An asset and what it is made from have different policies on purpose: Dagster then puts them into different runs, one
# after the other. In a run of both, one task that fails upstream would keep all tasks of the run from going on.
INGEST_POLICY = dg.BackfillPolicy.multi_run(max_partitions_per_run=100)
# A search takes minutes to hours: a run of its own each. A job that holds it as well (`full_loop`) then makes one
# partition per run, too, since Dagster takes the smallest number among a job's assets.
OPTIMIZATION_POLICY = dg.BackfillPolicy.multi_run(max_partitions_per_run=1)
EVALUATION_POLICY = dg.BackfillPolicy.multi_run(max_partitions_per_run=25)
PROMOTION_POLICY = dg.BackfillPolicy.multi_run(max_partitions_per_run=100)


def add_partitions(
    instance: dg.DagsterInstance, partitions: dg.DynamicPartitionsDefinition, keys: Sequence[str]
) -> None:
    """Make `keys` partitions of the set, whoever else does so meanwhile; those that are there stay as they are.

    On SQLite, Dagster reads which keys are there and inserts the others in two steps, and the insert fails as a whole
    when another process has added one of them in between. It is made again, without what is there now.

    Raises:
        IntegrityError: the instance refuses the keys for another reason.
    """
    kind = str(partitions.name)
    missing = _missing(instance, kind, keys)
    while missing:
        try:
            instance.add_dynamic_partitions(kind, missing)
        except IntegrityError:
            left = _missing(instance, kind, missing)
            if len(left) == len(missing):
                raise
            missing = left
        else:
            return


def _missing(instance: dg.DagsterInstance, kind: str, keys: Sequence[str]) -> list[str]:
    there = frozenset(instance.get_dynamic_partitions(kind))
    return [key for key in dict.fromkeys(keys) if key not in there]
