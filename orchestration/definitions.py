"""The code location: the only `Definitions`."""

# ruff: noqa: E402 - the collector is told to look away before the rest loads

import gc

import dagster as dg
import dagster_dbt  # noqa: F401 - loaded here, before the line below

# What these two have made by now stays for good. While the rest loads, the collector would walk through it again and
# again, which took a sixth of the loading time.
gc.freeze()

from assets.batch_inference.batch_predictions import batch_predictions
from assets.costs.call_log import call_log
from assets.costs.evaluation_history import evaluation_history
from assets.datasets.dataset import dataset
from assets.dbt_metrics import build_dbt_metrics
from assets.evaluations.evaluation import evaluation
from assets.experiments.experiment_report import experiment_report
from assets.optimization.optimization_run import optimization_run
from assets.promotions.promotion import promotion
from assets.prompts.prompt_version import prompt_version
from jobs.collect_metrics import collect_metrics
from jobs.evaluate import evaluate
from jobs.full_loop import full_loop
from jobs.ingest import ingest
from jobs.optimize import optimize
from jobs.predict_batches import predict_batches
from jobs.promote import promote
from jobs.report_experiment import report_experiment
from orchestration.automation import (
    automation_sensor,
    evaluation_condition,
    optimization_condition,
    promotion_condition,
)
from orchestration.environments import Environment
from orchestration.resource_definitions import build_resources
from resources.metrics.dbt_project import prepare_manifest
from sensors.batch_files import batch_files
from sensors.catalog_files import catalog_files
from sensors.live_experiments import live_experiments
from sensors.provider_batches import provider_batches
from sensors.schedules import daily_metrics


def build_definitions(environment: Environment) -> dg.Definitions:
    """Everything Dagster shows and runs, for one environment.

    Raises:
        ConfigurationError, InputError: the settings are not usable.
    """
    metrics = prepare_manifest(environment.home)
    conditions = {
        optimization_run.key: optimization_condition(str(environment.catalog.resolve()), environment.endpoint_kinds()),
        evaluation.key: evaluation_condition(),
        promotion.key: promotion_condition(),
    }
    task_assets = [
        asset.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=conditions.get(spec.key)))
        for asset in (dataset, prompt_version, optimization_run, evaluation, promotion)
    ]
    return dg.Definitions(
        assets=[
            *task_assets,
            batch_predictions,
            experiment_report,
            call_log,
            evaluation_history,
            build_dbt_metrics(metrics),
        ],
        jobs=[ingest, optimize, evaluate, promote, predict_batches, full_loop, report_experiment, collect_metrics],
        schedules=[daily_metrics],
        sensors=[
            catalog_files,
            batch_files,
            provider_batches,
            live_experiments,
            automation_sensor(dg.AssetSelection.assets(*conditions)),
        ],
        resources=build_resources(environment, metrics),
        # One process per run: a process per step costs seconds, and the steps of a loop wait for each other anyway.
        executor=dg.in_process_executor,
    )


defs = build_definitions(Environment.read())
