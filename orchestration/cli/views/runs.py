"""Running a task's assets in this process, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from domain.dataset import DatasetVersion
from domain.errors import InputError
from orchestration.cli.figures import dollars, interval, named, percent
from orchestration.cli.opening import current_database, make_database, open_catalog
from orchestration.cli.progress_bars import progress_bars
from orchestration.cli.screen import emit, facts, table
from orchestration.cli.views.effort import Effort, measured
from orchestration.cli.views.outcome import Outcome, read_outcome
from orchestration.environments import Environment
from orchestration.run_report import RunFailedError, RunReport
from resources.database.repositories import dataset_versions, optimization_runs, prompt_versions
from resources.database.repositories.optimization_runs import OptimizationRunRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord

INGEST = ("dataset", "prompt_version")
OPTIMIZE = (*INGEST, "optimization_run")
SHOWN_CANDIDATES = 10
EVALUATE = (*INGEST, "evaluation", "promotion")


def run(
    environment: Environment, task: str, selection: Sequence[str], *, as_json: bool, verbose: bool
) -> tuple[RunReport, Effort]:
    """Run assets with bars on the terminal; what they did and what that took.

    Raises:
        PromptoryError: there is no such task or database; nothing was started.
        RunFailedError: the run failed.
    """
    open_catalog(environment).get(task)
    bars = progress_bars(shown=not as_json and not verbose)
    make_database(environment)
    with current_database(environment) as database, measured(database, task) as effort, bars:
        from orchestration.launch import run_assets  # loads Dagster, which takes seconds

        report = run_assets(environment, task, selection, verbose=verbose)
    return report, effort.finished(report)


def ingested(task: str, as_json: bool, verbose: bool) -> None:
    """Snapshot the dataset, register the prompt."""
    environment = Environment.read()
    report, effort = run(environment, task, INGEST, as_json=as_json, verbose=verbose)
    dataset, prompt = _versions(environment, task, report)
    value = {**_heading(task, report), **_ingest_values(dataset, prompt), "effort": effort.values()}
    emit(as_json, value, lambda console: console.print(facts(_ingest_facts(dataset, prompt))))


def optimized(task: str, as_json: bool, verbose: bool) -> None:
    """Optimize, and show the result on dev; test stays sealed."""
    environment = Environment.read()
    if open_catalog(environment).get(task).task.optimizer is None:
        raise InputError(
            f"task {task!r} names no optimizer", field="optimizer", mend="add `optimizer: {kind: …}` to its file."
        )
    try:
        report, effort = run(environment, task, OPTIMIZE, as_json=as_json, verbose=verbose)
    except RunFailedError as error:
        raise with_progress(environment, task, error) if error.interrupted else error from None
    dataset, prompt = _versions(environment, task, report)
    with current_database(environment) as database, database.session(read_only=True) as session:
        done = optimization_runs.get(session, str(report.metadata["optimization_run"]["run_id"]))
        best = prompt_versions.get(session, task, done.result_prompt_version_id or prompt.id)
    value = {
        **_heading(task, report),
        **_ingest_values(dataset, prompt),
        "optimization_run": _run_values(done, best),
        "effort": effort.values(),
    }

    def show(console: Console) -> None:
        told = {**_ingest_facts(dataset, prompt), "optimizer": done.optimizer["kind"], "result": named(best)}
        told["score on dev"] = "–" if done.dev_score is None else percent(done.dev_score)
        if done.stop_reason:
            told["cut short"] = done.stop_reason
        console.print(facts(told))
        console.print(candidate_table(done))
        effort.show(console)
        console.print(f"Next: promptory evaluate {task}")

    emit(as_json, value, show)


def with_progress(environment: Environment, task: str, error: RunFailedError) -> RunFailedError:
    """The error of an interrupted search, with how far it came."""
    with current_database(environment) as database, database.session(read_only=True) as session:
        newest = next(iter(optimization_runs.list_optimization_runs(session, task, status="paused", limit=1)), None)
    reached = "" if newest is None else f". {newest.stop_reason}"
    return RunFailedError(f"{error.problem}{reached}", run_id=error.run_id, interrupted=True)


def evaluated(task: str, as_json: bool, verbose: bool) -> None:
    """Evaluate and promote, and show the gate's decision."""
    environment = Environment.read()
    report, effort = run(environment, task, EVALUATE, as_json=as_json, verbose=verbose)
    outcome = outcome_of(environment, task, report)
    page = report.metadata["evaluation"].get("report")
    value = {**_heading(task, report), **outcome.values(), "report": page, "effort": effort.values()}

    def show(console: Console) -> None:
        outcome.show(console)
        if page is not None:
            console.print(f"Side by side: {page}", soft_wrap=True)
        effort.show(console)

    emit(as_json, value, show)


def outcome_of(environment: Environment, task: str, report: RunReport) -> Outcome:
    """What the evaluation of this run decided, as the database has it."""
    with current_database(environment) as database:
        return read_outcome(database, environment.storage_root, task, str(report.metadata["evaluation"]["decision_id"]))


def _versions(environment: Environment, task: str, report: RunReport) -> tuple[DatasetVersion, PromptVersionRecord]:
    with current_database(environment) as database, database.session(read_only=True) as session:
        return (
            dataset_versions.get(session, task, str(report.metadata["dataset"]["dataset_version_id"])),
            prompt_versions.get(session, task, str(report.metadata["prompt_version"]["prompt_version_id"])),
        )


def _heading(task: str, report: RunReport) -> dict[str, Any]:
    return {"task": task, "run_id": report.run_id, "assets": list(report.materialized)}


def _ingest_values(dataset: DatasetVersion, prompt: PromptVersionRecord) -> dict[str, Any]:
    return {
        "dataset": dataset_values(dataset),
        "prompt": {"version": prompt.version, "id": prompt.id},
    }


def dataset_values(dataset: DatasetVersion) -> dict[str, Any]:
    """A dataset version for JSON."""
    return {
        "version": dataset.version,
        "id": dataset.id,
        "rows": dataset.rows,
        "split_rows": dataset.split_rows,
        "quarantined": dataset.quarantined,
    }


def dataset_text(dataset: DatasetVersion) -> str:
    """A dataset version in a line."""
    splits = ", ".join(f"{count:,} {split}" for split, count in dataset.split_rows.items())
    left_out = f"; {dataset.quarantined} rows left out" if dataset.quarantined else ""
    return f"v{dataset.version} ({dataset.id[:12]}): {dataset.rows:,} rows ({splits}){left_out}"


def _ingest_facts(dataset: DatasetVersion, prompt: PromptVersionRecord) -> dict[str, object]:
    return {"dataset": dataset_text(dataset), "prompt": named(prompt)}


def candidate_table(done: OptimizationRunRecord) -> Table:
    """The best candidates of a run: score with interval, and what answering rows with them costs."""
    ranked = sorted(done.candidates, key=lambda one: -(one["dev_score"] or 0.0))
    rows = [
        [
            "*" if one["prompt_version_id"] == done.result_prompt_version_id else "",
            one["prompt_version_id"][:12],
            one["kind"],
            "not scored" if one["dev_score"] is None else percent(one["dev_score"]),
            "" if one.get("dev_low") is None else interval(one["dev_low"], one["dev_high"]),
            dollars(1_000 * one["dev_cost_nano_usd"] // one["dev_rows"]) if one.get("dev_rows") else "",
        ]
        for one in ranked[:SHOWN_CANDIDATES]
    ]
    columns = ["", "prompt version", "differs in", "score on dev", "95 %", "per 1,000 rows"]
    title = f"Candidates ({min(len(ranked), SHOWN_CANDIDATES)} of {len(ranked)})"
    return table(title, columns, rows, right=columns[3:])


def _run_values(done: OptimizationRunRecord, best: PromptVersionRecord) -> dict[str, Any]:
    return {
        "id": done.id,
        "optimizer": done.optimizer,
        "status": done.status,
        "stop_reason": done.stop_reason,
        "dev_score": done.dev_score,
        "result": {"version": best.version, "id": best.id},
        "candidates": list(done.candidates),
    }
