"""`promptory task`: task files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestration.cli.options import AsJson, TaskName, task_names

app = typer.Typer(no_args_is_help=True, help="Task files: list, read, check and draft them.")


@app.command("list", epilog="Example: promptory task list")
def list_tasks(as_json: AsJson = False) -> None:
    """List the catalog's tasks, with what is stored of each. Files that cannot be read are named below."""
    from orchestration.cli.views.tasks import listed

    listed(as_json)


@app.command(epilog="Example: promptory task show support_triage")
def show(task: TaskName, as_json: AsJson = False) -> None:
    """Show one task with all its settings, the defaults filled in."""
    from orchestration.cli.views.tasks import shown

    shown(task, as_json)


@app.command(epilog="Example: promptory task validate support_triage")
def validate(
    what: Annotated[
        str | None,
        typer.Argument(metavar="[NAME|FILE]", help="A task or its file; all when omitted.", autocompletion=task_names),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check task files and every row of their datasets. Pays for nothing, stores nothing. Exits with 2 on an error."""
    from orchestration.cli.views.validation import validated

    raise typer.Exit(validated(what, as_json))


@app.command(epilog="Example: promptory task init --from tickets.csv --input text --output category")
def init(
    source: Annotated[
        Path,
        typer.Option("--from", metavar="FILE", help="Labelled rows: CSV, TSV, JSONL, Parquet or a dataset folder."),
    ],
    inputs: Annotated[
        list[str], typer.Option("--input", metavar="COLUMN", help="What the prompt sees; may be repeated.")
    ],
    outputs: Annotated[
        list[str],
        typer.Option("--output", metavar="COLUMN", help="The expected answer; repeated, they make one JSON object."),
    ],
    name: Annotated[str | None, typer.Option(help="The task's name; by default the file's.")] = None,
    model: Annotated[str, typer.Option(help="provider/name, e.g. openai/gpt-4o-mini.")] = "offline/nearest",
    force: Annotated[bool, typer.Option("--force", help="Replace a task file of that name.")] = False,
    as_json: AsJson = False,
) -> None:
    """Draft a task file from labelled rows.

    The output contract follows from what the answers are: a few short labels, numbers, JSON objects or text. The
    draft is commented, checked, and yours to edit: above all its system prompt.
    """
    from orchestration.cli.drafting.writing import Wish, drafted

    drafted(Wish(source, tuple(inputs), tuple(outputs), name, model, force), as_json)
