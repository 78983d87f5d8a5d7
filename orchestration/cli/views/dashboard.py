"""The dashboard, brought up to date and written to a file."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from upath import UPath

from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, error_console, facts
from orchestration.environments import Environment
from resources.database.session import Database
from resources.storage.atomic import write_atomically

if TYPE_CHECKING:
    from resources.metrics.dashboard import Dashboard

PAGE_FILE = "dashboard.html"


def shown(days: int, to: Path | None, *, collect: bool, open_page: bool, as_json: bool, verbose: bool) -> None:
    """Collect, draw, write, and say where.

    Raises:
        NotFoundError: nothing was collected yet.
        DatabaseUnavailableError: the tables are being built right now.
        RunFailedError: collecting failed.
        PromptoryError: settings or database cannot be used.
    """
    from assets.presentation.dashboard_page import dashboard_page, headline
    from orchestration.resource_definitions import metrics_resource
    from resources.metrics.dashboard import read_dashboard

    environment = Environment.read()
    with current_database(environment) as database:
        collected = _collected(environment, database, as_json=as_json, verbose=verbose) if collect else 0
    made_at = datetime.now(UTC)
    with metrics_resource(environment).connect() as marts:
        found = read_dashboard(marts, days, made_at.date())
    path = (to or environment.home / PAGE_FILE).absolute()
    page = dashboard_page(found, made_at).encode()
    write_atomically(UPath(path), lambda stream: stream.write(page))
    emit(
        as_json, _values(found, path, collected), lambda one: one.print(facts({**dict(headline(found)), "page": path}))
    )
    if open_page:
        typer.launch(path.as_uri())


def _values(found: Dashboard, path: Path, collected: int) -> dict[str, Any]:
    return {
        "path": str(path),
        "first_day": found.days[0],
        "last_day": found.days[-1],
        "days_collected": collected,
        "calls": found.calls,
        "cost_nano_usd": found.cost_nano_usd,
        "ambiguous_nano_usd": found.ambiguous_nano_usd,
        "tasks": [asdict(one) for one in found.tasks],
        "budgets": [asdict(one) for one in found.budgets],
    }


def _collected(environment: Environment, database: Database, *, as_json: bool, verbose: bool) -> int:
    from orchestration.collecting import collect_now  # loads Dagster and dbt, which takes seconds

    if as_json or verbose:
        return collect_now(environment, database, verbose=verbose)
    with error_console().status("Collecting: ledger, Parquet, metric tables …"):
        return collect_now(environment, database)
