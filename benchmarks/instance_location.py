"""The code location of `benchmarks.instance_kills`: the project's own assets, job and sensors, as far as it needs them.

Left out are the sensors that would start the backfill's work by themselves, and dbt, which takes seconds to load with
every run. The sensors look every few seconds instead of once or twice a minute.
"""

import dagster as dg

from assets.batch_inference.batch_predictions import batch_predictions
from assets.compression.compression import compression
from assets.datasets.dataset import dataset
from assets.evaluations.evaluation import evaluation
from assets.optimization.optimization_run import optimization_run
from assets.promotions.promotion import promotion
from assets.prompts.prompt_version import prompt_version
from jobs.predict_batches import predict_batches
from orchestration.environments import Environment
from orchestration.executors import choose_executor
from orchestration.task_resources import build_task_resources
from sensors.batch_files import batch_files
from sensors.lost_retries import lost_retries
from sensors.provider_batches import provider_batches

LOOK_S = 3

for sensor in (batch_files, provider_batches, lost_retries):
    sensor._min_interval = LOOK_S  # noqa: SLF001 - no public call gives a sensor another one

defs = dg.Definitions(
    assets=[dataset, prompt_version, optimization_run, evaluation, compression, promotion, batch_predictions],
    jobs=[predict_batches],
    sensors=[batch_files, provider_batches, lost_retries],
    resources=build_task_resources(Environment.read()),
    executor=choose_executor(Environment.read()),
)
