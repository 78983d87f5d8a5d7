"""`promptory compress`: a cheaper prompt that is not worse."""

from __future__ import annotations

import typer

from orchestration.cli.options import AsJson, TaskName, Verbose


def compress(
    task: TaskName,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Look for a cheaper production prompt: fewer examples, tighter text, shorter answers, a cheaper model.

    Variants are tried on dev only, within the task's `budget.run_usd`; the best one is put to the gate on the sealed
    test split as "not worse and cheaper", and promoted where the gate says so. Run again after a kill or Ctrl-C, it
    goes on where it stopped; what it chose is not compressed once more on the same rows.
    """
    from orchestration.cli.views.compress import compressed

    compressed(task, as_json, verbose)


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(epilog="Example: promptory compress support_triage")(compress)
