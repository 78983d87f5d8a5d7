"""The partition sets assets share, and how many of their partitions one run of a backfill makes."""

import dagster as dg

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
