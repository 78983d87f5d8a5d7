"""`promptory price`: what a model costs."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.options import AsJson

# `domain.pricing.MAX_TOKENS`, which costs its import to name here.
MOST = 2**31 - 1


def price(
    models: Annotated[list[str], typer.Argument(metavar="MODEL...", help="provider/name; several may be given.")],
    input_tokens: Annotated[int, typer.Option(min=0, max=MOST, help="Input tokens of the example.")] = 1000,
    output_tokens: Annotated[int, typer.Option(min=0, max=MOST, help="Most output tokens of the example.")] = 500,
    as_json: AsJson = False,
) -> None:
    """Show what models cost, where the figures come from, and what one attempt would reserve in its budgets."""
    from orchestration.cli.views.price import shown

    shown(models, input_tokens, output_tokens, as_json)


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(epilog="Example: promptory price openai/gpt-4o-mini --input-tokens 3000 --output-tokens 300")(price)
