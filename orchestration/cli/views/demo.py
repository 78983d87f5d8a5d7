"""The whole loop on the sample task."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.panel import Panel

from domain.errors import NotFoundError
from domain.optimization import OFFLINE_MODEL
from orchestration.cli.opening import open_catalog
from orchestration.cli.screen import emit, facts
from orchestration.cli.views.effort import Effort
from orchestration.cli.views.outcome import Outcome
from orchestration.cli.views.runs import dataset_text, dataset_values, outcome_of, run
from orchestration.environments import Environment, dagster_home
from orchestration.run_report import RunReport
from resources.database.schema import upgrade
from resources.database.session import open_database

COMMAND = "promptory"
TASK = "support_triage"
OTHER_TASK = "refund_extraction"
LOOP = ("dataset", "prompt_version", "optimization_run", "evaluation", "promotion")
UI = "http://127.0.0.1:3000"
NOT_A_MODEL = (
    f"{OFFLINE_MODEL} is not a language model. It is a nearest-neighbour reader of the demonstrations in the prompt, "
    "so that the whole loop runs here without a key. Its scores say nothing about what a language model would score."
)


def demonstrated(as_json: bool, verbose: bool) -> None:
    """Run the loop and report."""
    environment = Environment.read()
    _require_sample(environment)
    database = open_database(environment.database)
    try:
        upgrade(database)
    finally:
        database.dispose()
    report, effort = run(environment, TASK, LOOP, as_json=as_json, verbose=verbose)
    outcome = outcome_of(environment, TASK, report)
    value = {**_values(report, outcome, effort), "where_to_look": _places(environment, report, outcome)}
    emit(as_json, value, lambda console: _show(console, environment, report, outcome, effort))


def _require_sample(environment: Environment) -> None:
    try:
        model = open_catalog(environment).get(TASK).task.prompt.model
    except NotFoundError as error:
        raise NotFoundError(
            f"the demo needs the sample task {TASK}, which this catalog does not have",
            file=str(environment.catalog),
            field="PROMPTORY_CATALOG",
            mend="run it in a checkout of Promptory, or set PROMPTORY_CATALOG to the checkout's catalog folder. "
            "For your own data: promptory task init --help.",
        ) from error
    if model != OFFLINE_MODEL:
        raise NotFoundError(
            f"the sample task {TASK} names the model {model}, and the demo promises to pay nobody",
            file=str(environment.catalog),
            mend=f"set its model to {OFFLINE_MODEL}, or run `promptory optimize {TASK}` and `evaluate {TASK}`.",
        )


def _values(report: RunReport, outcome: Outcome, effort: Effort) -> dict[str, Any]:
    return {
        "task": TASK,
        "run_id": report.run_id,
        "dataset": dataset_values(outcome.dataset),
        **outcome.values(),
        "effort": effort.values(),
        "checks": [
            {"asset": check.asset, "name": check.name, "passed": check.passed, "sentence": check.sentence}
            for check in report.checks
        ],
        "model": OFFLINE_MODEL,
        "note": NOT_A_MODEL,
    }


def _show(console: Console, environment: Environment, report: RunReport, outcome: Outcome, effort: Effort) -> None:
    console.print(f"[bold]{TASK}[/bold]: the whole loop, from a dataset file to the production alias")
    console.print(facts({"dataset": dataset_text(outcome.dataset)}))
    outcome.show(console)
    effort.show(console)
    for check in report.checks:
        if not check.passed:
            console.print(f"[yellow]check {check.name}[/yellow]  {check.sentence}")
    console.print(Panel(NOT_A_MODEL, border_style="yellow", title="What these scores are not", title_align="left"))
    console.print(facts(_places(environment, report, outcome)))


def _places(environment: Environment, report: RunReport, outcome: Outcome) -> dict[str, str]:
    before, after = outcome.baseline.record.version, outcome.candidate.record.version
    command = _own_command()
    return {
        "start the UI": _start_command(environment),
        "evaluation": f"{UI}/assets/evaluation?view=partitions&partition={TASK}",
        "run": f"{UI}/runs/{report.run_id}",
        "learned prompt": f"{command} prompt diff {TASK} v{before} v{after}",
        "one answer": f'{command} call {TASK} --input message="My parcel never came."',
        "the other sample": f"{command} optimize {OTHER_TASK} && {command} evaluate {OTHER_TASK}",
        "your own data": f"{command} task init --help",
    }


def _own_command() -> str:
    """How this very command is started from here: `make demo` does not put it on the PATH."""
    started = Path(sys.argv[0])
    if started.name != COMMAND or shutil.which(COMMAND):
        return COMMAND
    return str(started.relative_to(Path.cwd())) if started.is_relative_to(Path.cwd()) else str(started)


def _start_command(environment: Environment) -> str:
    """`make dev` reads the checkout's dagster.yaml; another home must be named to it."""
    if dagster_home() is not None or environment.home == Environment.model_fields["home"].default:
        return "make dev"
    return f"DAGSTER_HOME={environment.home.resolve() / 'dagster'} make dev"
