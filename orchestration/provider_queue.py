"""The run queue of a shared instance: runs that make paid calls are tagged with the providers they will ask.

A pool belongs to an asset and is the same for all its partitions, but which provider a run asks depends on its task. So
the queue stamps `promptory/provider/<endpoint>` and `concurrency.runs.tag_concurrency_limits` counts by it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from dagster import DagsterInstance, DagsterRun
from dagster._core.run_coordinator.base import SubmitRunContext  # how Dagster hands a run to a coordinator of one's own
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator

from assets.partition_ranges import keys_of_run
from assets.partitions import tasks_partitions
from assets.pools import LLM_POOL
from domain.errors import PromptoryError
from orchestration.environments import Environment
from resources.catalog.catalog import Catalog

PROVIDER_TAG = "promptory/provider"
_log = logging.getLogger(__name__)


class ProviderQueue(QueuedRunCoordinator):
    """Dagster's queue with the providers' tags. Name it as `run_coordinator` in `dagster.yaml`.

    A task whose file cannot be read is queued untagged: its run will say what is wrong with the file.
    """

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Tag the run and enqueue it."""
        run = context.dagster_run
        if run.run_op_concurrency and LLM_POOL in (run.run_op_concurrency.all_pools or ()):
            providers = sorted(_providers(_tasks_of(run, self._instance)))
            self._instance.add_run_tags(run.run_id, {f"{PROVIDER_TAG}/{name}": "true" for name in providers})
        return super().submit_run(context)


def _tasks_of(run: DagsterRun, instance: DagsterInstance) -> list[str]:
    """The tasks among the run's partitions; several where a backfill or a sensor put them into one run."""
    known = instance.get_dynamic_partitions(str(tasks_partitions.name))
    return [task for task in keys_of_run(run.tags, known) if task in known]


def _providers(tasks: Iterable[str]) -> set[str]:
    """The endpoints that the models of these tasks name."""
    found: set[str] = set()
    try:
        environment = Environment.read()
        catalog = Catalog(environment.catalog, environment.endpoint_kinds())
    except PromptoryError as error:
        _log.warning("runs are queued without their providers: %s", error)
        return found
    for name in tasks:
        try:
            found |= {model.partition("/")[0] for model in catalog.get(name).task.models}
        except PromptoryError as error:
            _log.warning("the run of task %s is queued without its providers: %s", name, error)
    return found
