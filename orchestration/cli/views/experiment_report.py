"""An experiment's report: on the terminal, as JSON, as an HTML page, as a picture."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from assets.presentation.charts import as_png
from assets.presentation.experiment_charts import experiment_figure
from assets.presentation.experiment_page import TITLES, about, ended, experiment_page
from assets.presentation.experiment_tables import Rows, arm_rows, books_rows, comparison_rows
from domain.errors import InputError
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.experiments.reporting import LiveReport, make_report
from resources.experiments.reporting import conclude as conclude_experiment

COLOURS = {"winner": "green", "futility": "yellow", "guardrail": "red", "mismatch": "red", "continue": "cyan"}


def reported(name: str, html: Path | None, png: Path | None, *, conclude: bool, as_json: bool) -> None:
    """Analyse, write what is wished for, print."""
    now = datetime.now(UTC)
    with current_database(Environment.read()) as database:
        live = make_report(database, name, now)
        if conclude:
            live = conclude_experiment(database, live, now)
    written: list[str] = []
    if html or png:
        picture = as_png(experiment_figure(live.started.experiment, live.report))
        if png:
            written.append(_write(png, lambda: png.write_bytes(picture)))
        if html:
            written.append(_write(html, lambda: html.write_text(experiment_page(live, picture), encoding="utf-8")))
    value = {**live.as_dict(), "written": written}
    emit(as_json, value, lambda console: _show(console, live, written))


def _write(path: Path, write: Callable[[], int]) -> str:
    try:
        write()
    except OSError as error:
        raise InputError(
            f"cannot be written: {error.strerror}", file=str(path), mend="name a file in a folder you may write to."
        ) from error
    return str(path)


def _show(console: Console, live: LiveReport, written: list[str]) -> None:
    report = live.report
    verdict = Text.assemble((TITLES[report.verdict.kind], f"bold {COLOURS[report.verdict.kind]}"), "\n")
    verdict.append(report.verdict.reason)
    if ended(live):
        verdict.append(f"\n\n{ended(live)}")
    console.print(Panel(verdict, title=f"{report.experiment} ({live.started.record.state})", title_align="left"))
    console.print(about(live), style="dim")
    _table(console, "Variants", arm_rows(live))
    _table(console, f"Compared with {report.control}", comparison_rows(report))
    _table(console, "Where everything went", books_rows(live.bookkeeping))
    console.print(Text(f"Sample ratio: {report.sample_ratio.sentence}"))
    for path in written:
        console.print(f"Written: {path}", markup=False)
    if live.decision is not None and live.decision.verdict == "promote":
        console.print(f"Next: promptory experiment promote {report.experiment}")


def _table(console: Console, title: str, content: Rows) -> None:
    header, rows = content
    console.print(table(title, header, rows, whole=header[:1]))
