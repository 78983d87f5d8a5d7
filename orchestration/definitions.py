"""The code location: the only `Definitions`."""

# ruff: noqa: E402 - the collector is told to look away before the rest loads

import gc

import dagster as dg
import dagster_dbt  # noqa: F401 - loaded here, before the line below

# What these two have made by now stays for good. While the rest loads, the collector would walk through it again and
# again, which took a sixth of the loading time.
gc.freeze()

from assets.batch_inference.batch_predictions import batch_predictions
from assets.compression.compression import compression
from assets.costs.budgets import budgets
from assets.costs.call_log import call_log
from assets.costs.dashboard import dashboard
from assets.costs.evaluation_history import evaluation_history
from assets.costs.production_history import production_history
from assets.costs.reconciliation import ledger_equals_marts
from assets.datasets.dataset import dataset
from assets.dbt_metrics import build_dbt_metrics
from assets.evaluations.evaluation import evaluation
from assets.evaluations.production_score import production_score
from assets.experiments.experiment_report import experiment_report
from assets.optimization.optimization_run import optimization_run
from assets.promotions.promotion import promotion
from assets.prompts.prompt_version import prompt_version
from jobs.check_production import check_production
from jobs.collect_metrics import collect_metrics
from jobs.compact_ledger import compact_ledger
from jobs.compress import compress
from jobs.evaluate import evaluate
from jobs.full_loop import full_loop
from jobs.ingest import ingest
from jobs.optimize import optimize
from jobs.predict_batches import predict_batches
from jobs.promote import promote
from jobs.reoptimize import reoptimize
from jobs.report_experiment import report_experiment
from jobs.retention import database_retention
from orchestration.automation import (
    automation_sensor,
    compression_condition,
    evaluation_condition,
    optimization_condition,
    promotion_condition,
)
from orchestration.environments import Environment
from orchestration.executors import choose_executor
from orchestration.resource_definitions import build_resources
from resources.metrics.dbt_project import prepare_manifest
from sensors.batch_files import batch_files
from sensors.budget_burn import budget_burn_alerts
from sensors.catalog_files import catalog_files
from sensors.housekeeping import ledger_compaction, retention
from sensors.live_experiments import live_experiments
from sensors.lost_retries import lost_retries
from sensors.provider_batches import provider_batches
from sensors.quality_drift import quality_drift
from sensors.run_failures import run_failure_alerts
from sensors.schedules import daily_metrics, hourly_metrics, nightly_evaluation
from sensors.task_schedules import task_schedules

AUTOMATED = (dataset, prompt_version, optimization_run, evaluation, compression, promotion)
LAUNCHED = (
    production_score,
    batch_predictions,
    experiment_report,
    call_log,
    evaluation_history,
    production_history,
    budgets,
    dashboard,
)
JOBS = (
    ingest,
    optimize,
    evaluate,
    compress,
    predict_batches,
    promote,
    full_loop,
    check_production,
    reoptimize,
    report_experiment,
    collect_metrics,
    compact_ledger,
    database_retention,
)
WATCHING = (catalog_files, batch_files, provider_batches, live_experiments, task_schedules, lost_retries)
ALERTING = (run_failure_alerts, budget_burn_alerts, quality_drift)


def build_definitions(environment: Environment) -> dg.Definitions:
    """Everything Dagster shows and runs, for one environment.

    Raises:
        ConfigurationError, InputError: the settings are not usable.
    """
    metrics = prepare_manifest(environment.home)
    conditions = _conditions(environment)
    automated = [
        asset.map_asset_specs(lambda spec: spec.replace_attributes(automation_condition=conditions.get(spec.key)))
        for asset in AUTOMATED
    ]
    return dg.Definitions(
        assets=[*automated, *LAUNCHED, build_dbt_metrics(metrics)],
        asset_checks=[ledger_equals_marts],
        jobs=JOBS,
        schedules=_schedules(environment),
        sensors=[
            *WATCHING,
            *(sensor(configured=environment.alerts_configured) for sensor in ALERTING),
            automation_sensor(dg.AssetSelection.assets(*conditions)),
        ],
        resources=build_resources(environment, metrics),
        executor=choose_executor(environment),
    )


def _conditions(environment: Environment) -> dict[dg.AssetKey, dg.AutomationCondition]:
    catalog, kinds = str(environment.catalog.resolve()), environment.endpoint_kinds()
    return {
        optimization_run.key: optimization_condition(catalog, kinds),
        compression.key: compression_condition(catalog, kinds),
        evaluation.key: evaluation_condition(),
        promotion.key: promotion_condition(),
    }


def _schedules(environment: Environment) -> list[dg.ScheduleDefinition]:
    zone = environment.time_zone()
    return [
        hourly_metrics,
        daily_metrics,
        nightly_evaluation(zone),
        ledger_compaction(zone, environment.ledger_keep_days),
        retention(zone, environment.journal_keep_days, environment.dagster_runs_keep_days),
    ]


defs = build_definitions(Environment.read())
