"""The partition sets assets share."""

import dagster as dg

tasks_partitions = dg.DynamicPartitionsDefinition(name="tasks")
experiments_partitions = dg.DynamicPartitionsDefinition(name="experiments")
