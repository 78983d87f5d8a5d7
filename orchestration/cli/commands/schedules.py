"""`promptory schedules`: what task files start by the clock."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.options import AsJson, task_names


def schedules(
    task: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="One task; all when omitted.", autocompletion=task_names)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what the schedules in task files start next, and what would keep an experiment from starting now.

    Starts are made by Dagster's daemon (sensor `task_schedules`); a time that was missed is made up once.
    """
    from orchestration.cli.views.schedules import listed

    listed(task, as_json)


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(epilog="Example: promptory schedules support_triage")(schedules)
