"""The sensor over the catalog, ticking as the daemon lets it."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg
from dagster._core.definitions.instigation_logger import get_instigation_log_records  # not public, nor is another way
from loop.workplace import Workplace

from assets.datasets.dataset import dataset
from assets.partition_ranges import keys_of_run
from assets.prompts.prompt_version import prompt_version
from jobs.ingest import ingest
from orchestration.task_resources import build_task_resources
from sensors.catalog_files import catalog_files

LOG_KEY = ["sensor", catalog_files.name]


class Watch:
    """Keeps the cursor, and makes the runs that were requested last when it is told to."""

    def __init__(self, place: Workplace, instance: dg.DagsterInstance) -> None:
        self.place = place
        self.instance = instance
        self.cursor: str | None = None
        self.skipped: str | None = None
        self.requests: Sequence[dg.RunRequest] = ()
        resources = build_task_resources(place.environment)
        self._resources = {name: resources[name] for name in ("catalog", "database")}
        self._definitions = dg.Definitions(
            assets=[dataset, prompt_version],
            jobs=[ingest],
            sensors=[catalog_files],
            resources=resources,
            executor=dg.in_process_executor,
        )

    def tick(self) -> dict[str, list[str]]:
        """The assets requested, by task."""
        with dg.SensorEvaluationContext(
            instance_ref=self.instance.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=self.cursor,
            repository_name=None,
            definitions=self._definitions,
            sensor_name=catalog_files.name,
            resources=self._resources,
            log_key=LOG_KEY,
        ) as context:
            result = catalog_files.evaluate_tick(context)
        self.cursor, self.skipped, self.requests = result.cursor, result.skip_message, result.run_requests or []
        assert len({request.run_key for request in self.requests}) == len(self.requests)
        requested: dict[str, list[str]] = {}
        for request in self.requests:
            names = keys_of_run(request.tags, self.partitions())
            assert names, request
            for name in names:
                requested.setdefault(name, []).extend(key.to_user_string() for key in request.asset_selection or ())
        return {name: sorted(assets) for name, assets in requested.items()}

    def run_all(self) -> list[dg.ExecuteInProcessResult]:
        """Make the runs of the last tick."""
        return [
            self.job().execute_in_process(
                instance=self.instance,
                tags=dict(request.tags),
                asset_selection=list(request.asset_selection or ()),
                raise_on_error=False,
            )
            for request in self.requests
        ]

    def job(self) -> dg.JobDefinition:
        """The job that reads."""
        return self._definitions.resolve_job_def(ingest.name)

    def report_failure(self, request: dg.RunRequest, **tags: str) -> None:
        """The requested run, failed before it did anything."""
        run = self.instance.create_run_for_job(
            self.job(),
            tags={**request.tags, **tags},
            asset_selection=frozenset(request.asset_selection or ()),
            status=dg.DagsterRunStatus.STARTED,
        )
        self.instance.report_run_failed(run)

    def log(self) -> str:
        """What the sensor logged, as the tick's page in the UI shows it."""
        return "\n".join(str(record["msg"]) for record in get_instigation_log_records(self.instance, LOG_KEY))

    def partitions(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions("tasks"))
