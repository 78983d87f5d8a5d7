"""`promptory cost`: the ledger in sums."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import typer

from domain.errors import InputError
from orchestration.cli.options import AsJson

DATES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S"]


class By(StrEnum):
    """What spending is grouped by."""

    TASK = "task"
    DAY = "day"
    PURPOSE = "purpose"
    VERSION = "version"
    MODEL = "model"


def cost(
    by: Annotated[By, typer.Option(help="What to group by.")] = By.TASK,
    since: Annotated[datetime | None, typer.Option(formats=DATES, help="From this moment on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(formats=DATES, help="Before this moment (UTC).")] = None,
    reserves: Annotated[
        bool, typer.Option("--reserves", help="Per model instead: what answered attempts reserved and what they cost.")
    ] = False,
    ambiguous: Annotated[
        bool, typer.Option("--ambiguous", help="One by one instead: the attempts that may have been billed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what calls cost, from the ledger. `ambiguous` is what may have been billed: the answer never came."""
    if reserves and ambiguous:
        raise InputError("These are two different lists.", field="--ambiguous", mend="Leave one of both out.")
    if ambiguous:
        from orchestration.cli.views.ambiguous import listed

        listed(since, until, as_json)
        return
    if reserves:
        from orchestration.cli.views.reserves import compared

        compared(since, until, as_json)
        return
    from orchestration.cli.views.cost import spending

    spending(by.value, since, until, as_json)


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(epilog="Example: promptory cost --by day --since 2026-11-01")(cost)
