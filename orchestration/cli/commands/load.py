"""`promptory load`: requests at a given rate."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestration.cli.options import AsJson, task_names


def load(
    task: Annotated[
        str | None,
        typer.Option(
            help="Task whose prompt and rows are sent; the first of the catalog by default.", autocompletion=task_names
        ),
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="A stored prompt version (v3, production, an id); the task file's by default.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Ask this model (provider/name) instead of the prompt's.")] = None,
    rate: Annotated[float, typer.Option(min=0.01, max=10_000, help="Requests begun per second.")] = 20.0,
    seconds: Annotated[float, typer.Option(min=0.1, max=86_400, help="For how long.")] = 10.0,
    requests: Annotated[int | None, typer.Option(min=1, help="How many in all, instead of for how long.")] = None,
    high_share: Annotated[float, typer.Option(min=0, max=1, help="Share of requests with high priority.")] = 0.1,
    concurrency: Annotated[int, typer.Option(min=1, max=10_000, help="Most requests under way at once.")] = 64,
    fresh: Annotated[bool, typer.Option("--fresh", help="Let no cache answer: each request is a new draw.")] = False,
    budget_usd: Annotated[
        str, typer.Option(metavar="USD", help="Cap of the whole load, beside all other caps.")
    ] = "0.10",
    seed: Annotated[int, typer.Option(help="Decides which requests have high priority.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Send a task's requests at a given rate through all guards, and show what came of it.

    Answers, fallbacks by reason, latency by priority, then the state of breakers, limits, cache and budgets. Every
    request is real: against a model that costs money this costs money, up to --budget-usd.
    """
    from orchestration.cli.views.load import Wish, loaded

    total = requests if requests is not None else max(1, round(rate * seconds))
    loaded(Wish(task, prompt, model, total, rate, high_share, concurrency, fresh, budget_usd, seed), as_json)


def add_to(app: typer.Typer) -> None:
    """Make it a command of `app`."""
    app.command(epilog="Example: promptory load --task support_triage --rate 50 --seconds 5 --high-share 0.2")(load)
