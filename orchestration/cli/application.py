"""The root command and its groups."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from orchestration.cli.commands import (
    backfill,
    batch,
    breaker,
    budget,
    cache,
    call,
    compress,
    cost,
    dashboard,
    database,
    demo,
    experiment,
    health,
    load,
    price,
    prompt,
    run,
    schedules,
    task,
    trace,
)
from orchestration.cli.failures import PromptoryGroup
from orchestration.cli.options import AsJson, Verbose

app = typer.Typer(
    name="promptory",
    cls=PromptoryGroup,
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    epilog="Start with: promptory demo",
)


def _show_version(value: bool) -> None:
    if value:
        typer.echo(version("promptory"))
        raise typer.Exit


@app.callback()
def root(
    as_json: AsJson = False,
    verbose: Verbose = False,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Optimise prompts, prove that the new one is better, and account for every call."""


demo.add_to(app)
run.add_to(app)
call.add_to(app)
compress.add_to(app)
cost.add_to(app)
dashboard.add_to(app)
price.add_to(app)
health.add_to(app)
load.add_to(app)
schedules.add_to(app)
app.add_typer(task.app, name="task")
app.add_typer(prompt.app, name="prompt")
app.add_typer(trace.app, name="trace")
app.add_typer(experiment.app, name="experiment")
app.add_typer(backfill.app, name="backfill")
app.add_typer(batch.app, name="batch")
app.add_typer(budget.app, name="budget")
app.add_typer(breaker.app, name="breaker")
app.add_typer(cache.app, name="cache")
app.add_typer(database.app, name="db")
