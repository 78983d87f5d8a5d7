"""Bringing the metric tables up to date in this process."""

from __future__ import annotations

from datetime import UTC, datetime

from jobs.collect_metrics import collect_metrics
from orchestration.abandoned_runs import close_abandoned_runs, own_tags
from orchestration.definitions import build_definitions
from orchestration.environments import Environment
from orchestration.instance import open_instance
from orchestration.launch import LOG_FILE, failure_of, logged
from resources.database.session import Database
from sensors.schedules import collection_requests, days_to_collect


def collect_now(environment: Environment, database: Database, *, verbose: bool = False) -> int:
    """Copy the days to which the ledger has added something and rebuild the metric tables; how many days those were.

    Where nothing was added nothing is run. What Dagster and dbt print goes to `<home>/cli-runs.log`, unless `verbose`.

    Raises:
        RunFailedError: a run failed; what was copied before stays.
        PromptoryError: settings or database cannot be used.
    """
    changed = days_to_collect(database)
    if not changed:
        return 0
    log = environment.home / LOG_FILE
    with logged(None if verbose else log), open_instance(environment) as instance:
        job = build_definitions(environment).resolve_job_def(collect_metrics.name)
        close_abandoned_runs(instance)
        for request in collection_requests(changed, f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"):
            result = job.execute_in_process(
                instance=instance,
                run_config=request.run_config,
                tags={**own_tags(), **request.tags},
                raise_on_error=False,
            )
            if not result.success:
                raise failure_of(result, log)
    return len(changed)
