"""`promptory ingest`, `optimize` and `evaluate`: assets of one task, run here and now, seen in the UI later."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from orchestration.cli.options import AsJson, TaskName, Verbose


def ingest(task: TaskName, as_json: AsJson = False, verbose: Verbose = False) -> None:
    """Read a task's file and dataset and store what is new as versions."""
    from orchestration.cli.views.runs import ingested

    ingested(task, as_json, verbose)


def optimize(
    task: TaskName,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print planned calls, the most they can cost and the caps; pay nothing.")
    ] = False,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Search for a better prompt with the task's optimizer. A run that was killed goes on where it stopped."""
    if dry_run:
        from orchestration.cli.views.dry_run import planned

        planned(task, as_json)
        return
    from orchestration.cli.views.runs import optimized

    optimized(task, as_json, verbose)


def evaluate(
    task: TaskName,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print what the next look at the test split can show at all; ask nothing.")
    ] = False,
    prompts: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="REF", help="Only look at this version (3, v3, an alias, an id); repeatable."),
    ] = None,
    split: Annotated[
        Literal["dev", "test"] | None,
        typer.Option(help="Only look at this split; of test, what the gate has shown already."),
    ] = None,
    evaluators: Annotated[
        list[str] | None, typer.Option("--evaluator", metavar="NAME", help="Only this one of the task's; repeatable.")
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
) -> None:
    """Compare candidates with production on the sealed test split, and promote the winner where the gate says so.

    With --prompt, --split or --evaluator it only evaluates what they name (production on dev, unless told otherwise),
    and promotes nothing.
    """
    if plan:
        from orchestration.cli.views.gate_plan import planned as gate_planned

        gate_planned(task, as_json)
        return
    if prompts or split or evaluators:
        from orchestration.cli.views.by_hand import evaluated_by_hand

        evaluated_by_hand(task, prompts or [], split or "dev", evaluators or [], as_json)
        return
    from orchestration.cli.views.runs import evaluated

    evaluated(task, as_json, verbose)


def add_to(app: typer.Typer) -> None:
    """Make them commands of `app`."""
    app.command(epilog="Example: promptory ingest support_triage")(ingest)
    app.command(epilog="Example: promptory optimize support_triage --dry-run")(optimize)
    app.command(epilog="Example: promptory evaluate support_triage --prompt v1 --prompt production --split dev")(
        evaluate
    )
