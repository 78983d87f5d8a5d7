"""`promptory compress`: a cheaper prompt that is not worse."""

from __future__ import annotations

import typer

from orchestration.cli.options import AsJson, TaskName, Verbose


def compress(
    task: TaskName,
    as_json: AsJson = False,
    verbose: Verbose = False,  # noqa: ARG001 - remembered by its callback
) -> None:
    """Look for a cheaper production prompt: fewer examples, tighter text, shorter answers, a cheaper model.

    Variants are tried on dev only, within the task's `budget.run_usd`; the best one is put to the gate on the sealed
    test split as "not worse and cheaper". Run again after a kill, it pays for nothing twice.
    """
    from orchestration.cli.views.compress import compressed

    compressed(task, as_json)


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(epilog="Example: promptory compress support_triage")(compress)
