"""`promptory experiment`: live A/B tests over prompt versions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="Live A/B tests over prompt versions: start, watch, stop, promote.")


def experiment_names(incomplete: str) -> list[str]:
    """Names of experiment files, for the shell's completion."""
    from orchestration.environments import Environment

    folder = Environment.read().catalog / "experiments"
    return sorted(path.stem for path in folder.glob("*.y*ml") if path.stem.startswith(incomplete))


Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of an experiment in the catalog.", autocompletion=experiment_names)
]


@app.command("list", epilog="Example: promptory experiment list")
def list_experiments(as_json: AsJson = False) -> None:
    """List the experiments: their files, what was started, how it ended. Files that cannot be read are named below."""
    from orchestration.cli.views.experiments import listed

    listed(as_json)


@app.command(epilog="Example: promptory experiment show triage_wording")
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one experiment with all its settings, its prompt versions and how the units were dealt over time."""
    from orchestration.cli.views.experiments import shown

    shown(name, as_json)


@app.command(epilog="Example: promptory experiment validate triage_wording")
def validate(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME|FILE]", help="An experiment or its file; all when omitted.", autocompletion=experiment_names
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check experiment files: fields, task, prompt versions, buckets shared with others. Exits with 2 on an error."""
    from orchestration.cli.views.experiment_validation import validated

    raise typer.Exit(validated(what, as_json))


@app.command(epilog="Example: promptory experiment start triage_wording")
def start(
    name: Name,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When its traffic began, for one that is imported: 2026-11-01T00:00:00Z."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Start an experiment, or take over changed weights and switches of a running one.

    Prompt versions are fixed now. Units that were answered keep their variant when weights change.
    """
    from orchestration.cli.views.experiment_running import started

    started(name, since, as_json)


@app.command(epilog='Example: promptory experiment stop triage_wording --reason "the shop is closed"')
def stop(
    name: Name,
    reason: Annotated[str, typer.Option(help="Why; kept with the experiment.")],
    as_json: AsJson = False,
) -> None:
    """Stop an experiment by hand. The figures of now become its decision; production answers everybody from then on."""
    from orchestration.cli.views.experiment_running import stopped

    stopped(name, reason, as_json)


@app.command(epilog="Example: promptory experiment assign triage_wording user-17 user-18 --json")
def assign(
    name: Name,
    units: Annotated[list[str] | None, typer.Argument(metavar="[UNIT]…", help="Unit ids.")] = None,
    source: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="A file (CSV, JSONL, …) with a column unit_id.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which variant answers a unit: always the same one. Nothing is recorded."""
    from orchestration.cli.views.experiment_running import assigned

    assigned(name, tuple(units or ()), source, as_json)


@app.command(
    "import",
    epilog="Example: promptory experiment import triage_wording --interactions answers.csv --outcomes solved.csv",
)
def import_files(
    name: Name,
    interactions: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Columns unit_id, at; optional variant, id, call_id, cost_usd, latency_s."),
    ] = None,
    outcomes: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Columns value, at, and unit_id or call_id.")
    ] = None,
    max_quarantined: Annotated[
        float, typer.Option(min=0, max=1, help="Share of bad rows above which a file is refused as a whole.")
    ] = 0.1,
    rejected: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the rows that were not stored, with reasons, as CSV.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Import answers given elsewhere and their outcomes. Rows that are there already change nothing."""
    from orchestration.cli.views.experiment_import import Wish, imported

    imported(name, Wish(interactions, outcomes, max_quarantined, rejected), as_json)


@app.command(epilog="Example: promptory experiment report triage_wording --html report.html")
def report(
    name: Name,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report as one HTML page.")] = None,
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Write its picture.")] = None,
    conclude: Annotated[
        bool, typer.Option("--conclude", help="Stop the experiment if it is decided or a guardrail is broken.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Analyse what is recorded now. Always valid: look as often as you like, it cannot make noise a winner."""
    from orchestration.cli.views.experiment_report import reported

    reported(name, html, png, conclude=conclude, as_json=as_json)


@app.command(epilog="Example: promptory experiment promote triage_wording")
def promote(name: Name, as_json: AsJson = False) -> None:
    """Move the alias production to the winner, by the recorded decision and only if production has not moved since."""
    from orchestration.cli.views.experiment_running import promoted

    promoted(name, as_json)
