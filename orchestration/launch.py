"""Running assets of one task in this process, on the persistent instance."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from assets.compression.compression import compression
from assets.datasets.dataset import dataset
from assets.evaluations.evaluation import evaluation
from assets.optimization.optimization_run import optimization_run
from assets.partitions import add_partitions, tasks_partitions
from assets.promotions.promotion import promotion
from assets.prompts.prompt_version import prompt_version
from jobs.compress import compress
from jobs.full_loop import full_loop
from orchestration.abandoned_runs import close_abandoned_runs, own_tags
from orchestration.environments import Environment
from orchestration.instance import open_instance
from orchestration.quiet_streams import streams_to_file
from orchestration.run_report import CheckOutcome, RunFailedError, RunReport
from orchestration.task_resources import build_task_resources

LOG_FILE = "cli-runs.log"


def run_assets(
    environment: Environment,
    task: str,
    selection: Sequence[str],
    tags: Mapping[str, str] | None = None,
    *,
    verbose: bool = False,
) -> RunReport:
    """Materialize `selection` for `task`; what Dagster and others print goes to `<home>/cli-runs.log`.

    Args:
        selection: asset names, all of the job `full_loop` or all of `compress`; their order follows from what depends
            on what.
        verbose: print it instead.

    Raises:
        RunFailedError: the run failed; the error says why, as the asset said it.
        PromptoryError: settings cannot be used.
    """
    started = time.monotonic()
    log = environment.home / LOG_FILE
    with logged(None if verbose else log), open_instance(environment) as instance:
        job = _job(environment, selection)
        close_abandoned_runs(instance)
        add_partitions(instance, tasks_partitions, [task])
        result = job.execute_in_process(
            instance=instance,
            partition_key=task,
            asset_selection=[dg.AssetKey(name) for name in selection],
            tags={**own_tags(), **(tags or {})},
            raise_on_error=False,
        )
        if not result.success:
            raise failure_of(result, log)
        return _report(result, job.name, time.monotonic() - started)


def _job(environment: Environment, selection: Sequence[str]) -> dg.JobDefinition:
    """The job of the code location, from the same parts, without those whose loading takes seconds (dbt)."""
    name = compress.name if "compression" in selection else full_loop.name
    definitions = dg.Definitions(
        assets=[dataset, prompt_version, optimization_run, evaluation, compression, promotion],
        jobs=[full_loop, compress],
        resources=build_task_resources(environment),
        executor=dg.in_process_executor,
    )
    return definitions.resolve_job_def(name)


@contextmanager
def logged(log: Path | None) -> Iterator[None]:
    """Send what Dagster and others print to `log`; None prints it."""
    if log is None:
        yield
        return
    with streams_to_file(log):
        yield


def _report(result: dg.ExecuteInProcessResult, job: str, seconds: float) -> RunReport:
    made: list[str] = []
    metadata: dict[str, dict[str, Any]] = {}
    for event in result.get_asset_materialization_events():
        materialization = event.step_materialization_data.materialization
        name = materialization.asset_key.to_user_string()
        made.append(name)
        metadata[name] = _plain(materialization.metadata)
    checks = tuple(
        CheckOutcome(check.asset_key.to_user_string(), check.check_name, check.passed, check.description or "")
        for check in result.get_asset_check_evaluations()
    )
    return RunReport(result.run_id, job, seconds, tuple(made), metadata, checks)


def _plain(metadata: Mapping[str, dg.MetadataValue]) -> dict[str, Any]:
    values = {name: value.value for name, value in metadata.items()}
    return {name: value for name, value in values.items() if isinstance(value, str | int | float | bool)}


def failure_of(result: dg.ExecuteInProcessResult, log: Path) -> RunFailedError:
    """The first step's failure, with the parts that the asset's own error named."""
    for event in result.all_events:
        if event.event_type != dg.DagsterEventType.STEP_FAILURE:
            continue
        if _is_interrupt(event.step_failure_data):
            return RunFailedError(
                f"{event.step_key} was interrupted",
                run_id=result.run_id,
                mend="run it again: it goes on where it stopped.",
                interrupted=True,
            )
        told = event.step_failure_data.user_failure_data
        if told is not None and "problem" in told.metadata:
            parts = {name: str(value.value) for name, value in told.metadata.items()}
            return RunFailedError(
                f"{event.step_key} failed: {parts['problem']}",
                run_id=result.run_id,
                file=parts.get("file"),
                row=int(parts["row"]) if "row" in parts else None,
                field=parts.get("field"),
                mend=parts.get("mend"),
            )
        error = event.step_failure_data.error
        cause = (error.cause or error) if error else None
        problem = f"{event.step_key} failed: {cause.message.strip() if cause else event.message}"
        return RunFailedError(problem, run_id=result.run_id, mend=_look(log))
    return RunFailedError("the run failed before its first step", run_id=result.run_id, mend=_look(log))


def _is_interrupt(failure: Any) -> bool:
    """A signal (Ctrl-C, SIGTERM, the UI's terminate) ended the step; Dagster exports no name for that source."""
    return failure.error_source is not None and failure.error_source.name == "INTERRUPT"


def _look(log: Path) -> str:
    return f"see {log}, or run it again with --verbose."
