"""`promptory db`: the database's schema."""

from __future__ import annotations

import typer

from orchestration.cli.options import AsJson

app = typer.Typer(no_args_is_help=True, help="The database: make it, upgrade it, ask for its state.")


@app.command(epilog="Example: promptory db upgrade")
def upgrade(as_json: AsJson = False) -> None:
    """Make the database, or bring its schema to this program's. Safe to repeat, and while others work."""
    from orchestration.cli.views.database import upgraded

    upgraded(as_json)


@app.command(epilog="Example: promptory db status --json")
def status(as_json: AsJson = False) -> None:
    """Say where the database is and whether its schema is this program's. Exits with 2 where it is not."""
    from orchestration.cli.views.database import shown

    shown(as_json)
