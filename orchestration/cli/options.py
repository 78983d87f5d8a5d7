"""Options that many commands share."""

from __future__ import annotations

from typing import Annotated

import typer

JSON_KEY = "promptory.json"
VERBOSE_KEY = "promptory.verbose"


def _remember_json(context: typer.Context, value: bool) -> bool:
    context.meta[JSON_KEY] = context.meta.get(JSON_KEY, False) or value
    return context.meta[JSON_KEY]


def _remember_verbose(context: typer.Context, value: bool) -> bool:
    context.meta[VERBOSE_KEY] = context.meta.get(VERBOSE_KEY, False) or value
    return context.meta[VERBOSE_KEY]


def task_names(incomplete: str) -> list[str]:
    """Names of task files, for the shell's completion."""
    from orchestration.environments import Environment

    folder = Environment.read().catalog / "tasks"
    return sorted(path.stem for path in folder.glob("*.y*ml") if path.stem.startswith(incomplete))


AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object and nothing else.", callback=_remember_json)
]
Verbose = Annotated[
    bool,
    typer.Option("--verbose", help="Show the logs of runs, and where an error came from.", callback=_remember_verbose),
]
TaskName = Annotated[
    str, typer.Argument(metavar="TASK", help="Name of a task in the catalog.", autocompletion=task_names)
]
