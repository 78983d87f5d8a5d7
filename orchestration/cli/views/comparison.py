"""Two prompt versions on the same rows: on the terminal, as JSON, as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from domain.errors import InputError
from orchestration.cli.figures import interval, named, percent, score_values
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, facts, table
from orchestration.environments import Environment
from resources.comparison.comparison import Comparison, Figures, Flip, Side
from resources.comparison.page import write_page
from resources.comparison.stored import compare_stored
from resources.storage.location import path_at

SHOWN_FLIPS = 10


def compared(task: str, before: str, after: str, split: str | None, html: Path | None, as_json: bool) -> None:
    """Compare, and write the page where one is asked for."""
    environment = Environment.read()
    with current_database(environment) as database:
        found = compare_stored(database, path_at(environment.storage_root), task, before, after, split)
    if html is not None:
        _write(found, html)
    value = {**comparison_values(found), "html": str(html.absolute()) if html else None}

    def show(console: Console) -> None:
        _show(console, found)
        if html is not None:
            console.print(f"Written: {html.absolute()}", soft_wrap=True)

    emit(as_json, value, show)


def comparison_values(found: Comparison) -> dict[str, Any]:
    """A comparison for JSON, every flipped row included."""
    figures = found.figures
    return {
        "task": found.task,
        "a": _side_values(found.before),
        "b": _side_values(found.after),
        "split": found.split,
        "dataset_version": found.dataset.version if found.dataset else None,
        "paired": figures.paired.as_dict() if figures else None,
        "cost_ratio": figures.cost_ratio if figures else None,
        "latency_ratio": figures.latency_ratio if figures else None,
        "better": [_flip_values(flip) for flip in figures.better] if figures else [],
        "worse": [_flip_values(flip) for flip in figures.worse] if figures else [],
        "by_label": [
            {"label": line.label, "rows": line.rows, "a": line.before, "b": line.after} for line in figures.labels
        ]
        if figures
        else [],
        "decision": {"id": found.decision.id, "verdict": found.decision.verdict, "reason": found.decision.reason}
        if found.decision
        else None,
        "notes": list(found.notes),
    }


def difference_text(found: Comparison) -> str:
    """The change in a line; empty where there is nothing to compare."""
    if found.figures is None:
        return ""
    paired = found.figures.paired
    spread = f"{100 * paired.low:+.1f} to {100 * paired.high:+.1f}"
    return (
        f"{100 * paired.difference:+.1f} points on {paired.n} rows of {found.split} ({spread} at 95 %, "
        f"p = {paired.p_value_two_sided:.2g} two-sided): {paired.wins} better, {paired.losses} worse"
    )


def _write(found: Comparison, html: Path) -> None:
    try:
        write_page(found, path_at(html.absolute()))
    except OSError as error:
        raise InputError(
            f"the page cannot be written: {error.strerror or error}",
            file=str(html),
            field="html",
            mend="name a file in a folder you may write to.",
        ) from error


def _side_values(side: Side) -> dict[str, Any]:
    return {
        "version": side.record.version,
        "id": side.record.id,
        "aliases": list(side.aliases),
        "score": score_values(side.evaluation),
        "summary": side.evaluation.summary if side.evaluation else None,
    }


def _flip_values(flip: Flip) -> dict[str, Any]:
    return {
        "row_id": flip.row_id,
        "inputs": flip.inputs,
        "expected": flip.expected,
        "a": {"answer": flip.before.answer, "score": flip.before.score, "call_ids": list(flip.before.call_ids)},
        "b": {"answer": flip.after.answer, "score": flip.after.score, "call_ids": list(flip.after.call_ids)},
    }


def _show(console: Console, found: Comparison) -> None:
    for note in found.notes:
        console.print(Text(note, style="yellow"), soft_wrap=True)
    if found.figures is None:
        return
    rows = [_score_cells(side) for side in (found.before, found.after)]
    columns = ["prompt version", "rows", "score", "95 % interval", "cost of 1,000 rows", "median latency"]
    console.print(table(f"On the {found.split} split", columns, rows, right=columns[1:]))
    console.print(facts({"change": difference_text(found), **_ratios(found.figures)}))
    if found.figures.labels:
        lines = [
            [one.label, one.rows, percent(one.before), percent(one.after), f"{100 * (one.after - one.before):+.1f}"]
            for one in found.figures.labels
        ]
        names = ["expected", "rows", found.before.name, found.after.name, "change"]
        console.print(table("By expected label", names, lines, right=names[1:]))
    for title, flips in (("better", found.figures.better), ("worse", found.figures.worse)):
        _show_flips(console, found, title, flips)


def _score_cells(side: Side) -> list[object]:
    record = side.evaluation
    if record is None:
        return [named(side.record), "–", "–", "–", "–", "–"]
    each = record.summary["cost_nano_usd"] / record.rows * 1000 / 1e9
    latency = f"{1000 * record.summary['latency_p50_s']:.1f} ms"
    spread = interval(record.score_low, record.score_high)
    return [named(side.record), record.rows, percent(record.score), spread, f"${each:.4f}", latency]


def _ratios(figures: Figures) -> dict[str, object]:
    named_ratios = (("cost", figures.cost_ratio), ("median latency", figures.latency_ratio))
    return {name: "from nothing" if ratio is None else f"× {ratio:.2f}" for name, ratio in named_ratios}


def _show_flips(console: Console, found: Comparison, title: str, flips: tuple[Flip, ...]) -> None:
    if not flips:
        return
    columns = ["row", "input", "expected", found.before.name, found.after.name]
    rows = [
        [flip.row_id, " · ".join(flip.inputs.values()), flip.expected, flip.before.answer, flip.after.answer]
        for flip in flips[:SHOWN_FLIPS]
    ]
    more = f"; the first {SHOWN_FLIPS}, all of them with --json" if len(flips) > SHOWN_FLIPS else ""
    console.print(table(f"{len(flips)} rows {title} with {found.after.name}{more}", columns, rows))
