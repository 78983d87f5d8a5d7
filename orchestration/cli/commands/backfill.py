"""`promptory backfill`: assets made (again) for many tasks or days."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from orchestration.cli.options import AsJson, Verbose

app = typer.Typer(
    no_args_is_help=True,
    help="Make assets for many tasks or days: plan it, launch it once, watch it, stop it. "
    "By task: dataset, prompt_version, optimization_run, evaluation, promotion. By day: call_log.",
)

Assets = Annotated[
    list[str], typer.Argument(metavar="ASSET…", help="Assets to make, all by task or all by day; any order.")
]
Partitions = Annotated[
    list[str] | None,
    typer.Option(
        "--partition",
        "-p",
        metavar="KEY",
        help="A task or day, a pattern ('support_*'), or a range (2026-11-01..2026-11-07); repeatable. Default: all.",
    ),
]
Force = Annotated[
    bool, typer.Option("--force", help="Make what is fresh, too. What was paid for is not paid for again.")
]
Key = Annotated[str, typer.Argument(metavar="KEY", help="The key it was launched with, or its id.")]


@app.command(epilog="Example: promptory backfill plan evaluation promotion -p 'support_*'")
def plan(
    assets: Assets,
    partitions: Partitions = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Show what would be made and why, in how many runs, and the calls and dollars it may take. Pays for nothing.

    Fresh partitions are left out: those made by this code from the files and inputs there are now.
    """
    from orchestration.cli.views.backfill_plan import planned

    planned(assets, partitions, force, as_json)


@app.command(epilog="Example: promptory backfill launch evaluation promotion --key after-the-new-rows")
def launch(
    assets: Assets,
    partitions: Partitions = None,
    key: Annotated[
        str | None,
        typer.Option(help="Names this backfill: launched twice, it runs once. Launch a killed one again with its key."),
    ] = None,
    force: Force = False,
    way: Annotated[
        Literal["auto", "daemon", "in_process"],
        typer.Option(help="Who makes the runs: Dagster's daemon or this process; auto: the daemon where there is one."),
    ] = "auto",
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until it is over, also where a daemon or another process makes it.")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Make them. Where no daemon is there to do it, this process does, and shows how far it is.

    One task that fails stops no other. Exits with 1 if any failed or it was stopped, 2 if another process makes it and
    it is not over.
    """
    from orchestration.cli.views.backfill import launched

    raise typer.Exit(launched(assets, partitions, key, force, way, wait, as_json, verbose))


@app.command(epilog="Example: promptory backfill status after-the-new-rows")
def status(key: Key, as_json: AsJson = False) -> None:
    """Show how far a backfill is, and which tasks or days failed and why."""
    from orchestration.cli.views.backfill import shown

    shown(key, as_json)


@app.command(epilog="Example: promptory backfill wait after-the-new-rows --timeout 3600")
def wait(
    key: Key,
    timeout: Annotated[float | None, typer.Option(min=0, metavar="SECONDS", help="Give up waiting after this.")] = None,
    as_json: AsJson = False,
) -> None:
    """Wait until a backfill is over. Exits with 1 if anything failed, 2 if it is not over: no time was left, or the
    process that made it is gone."""
    from orchestration.cli.views.backfill import waited

    raise typer.Exit(waited(key, timeout, as_json))


@app.command(epilog="Example: promptory backfill cancel after-the-new-rows")
def cancel(key: Key, as_json: AsJson = False) -> None:
    """Stop a backfill. What is made stays; what runs in another process stops before its next task."""
    from orchestration.cli.views.backfill import cancelled

    cancelled(key, as_json)


@app.command("list", epilog="Example: promptory backfill list")
def list_backfills(
    limit: Annotated[int, typer.Option(min=1, max=500, help="How many, newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the backfills that were launched here or through the Python API, newest first."""
    from orchestration.cli.views.backfill import listed

    listed(limit, as_json)
