"""Sensor: jobs at providers' batch APIs that are finished."""

import asyncio
from datetime import UTC, datetime

import dagster as dg

from jobs.predict_batches import predict_batches
from resources.batch_inference.due import due_tasks
from resources.batch_inference.provider_batches.polling import Polled, poll
from resources.catalog_resource import CatalogResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.llm.endpoints import Endpoints
from resources.llm_resource import LLMResource
from sensors.batch_files import requests_for, tasks_with_a_run

INTERVAL_S = 30


@dg.sensor(
    job=predict_batches,
    minimum_interval_seconds=INTERVAL_S,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description=(
        "Asks providers how far their batch jobs are, each as often as its batch says (`poll_s`), all jobs of an "
        "endpoint in a few requests. A task whose jobs have ended gets one run, which settles them and goes on. No run "
        "waits meanwhile."
    ),
)
def provider_batches(
    context: dg.SensorEvaluationContext, catalog: CatalogResource, database: DatabaseResource, llm: LLMResource
) -> dg.SensorResult:
    """Poll, and request one run for every task with a finished job and no run at it."""
    now = datetime.now(UTC)
    with database.connect() as opened:
        polled = asyncio.run(_poll(opened, llm, now))
        due = due_tasks(opened, catalog.batch_root(), polled.tasks, now) if polled.tasks else []
    for endpoint, problem in polled.problems.items():
        context.log.warning(f"the batch API of {endpoint} could not be asked: {problem}")
    busy = tasks_with_a_run(context.instance) if due else set()
    wanted = [one for one in due if one.task not in busy]
    told = f"{polled.looked_at} jobs looked at, {polled.ended} have ended."
    return dg.SensorResult(
        run_requests=requests_for(context.instance, wanted, now),
        cursor=context.cursor,
        skip_reason=None if wanted else told,
    )


async def _poll(database: Database, llm: LLMResource, now: datetime) -> Polled:
    endpoints = Endpoints(llm.settings().endpoints, None)
    try:
        return await poll(database, endpoints, now)
    finally:
        await endpoints.close()
