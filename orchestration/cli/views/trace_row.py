"""What a dataset row touched."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from domain.identity import short_id
from orchestration.cli.figures import dollars, named
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, facts, table
from orchestration.cli.views.trace_call import row_facts, row_values
from orchestration.environments import Environment
from resources.lineage.row_trace import RowResult, RowTrace, trace_row
from resources.storage.location import path_at

SHOWN_CALLS = 12


def traced(where: str, row_id: str, as_json: bool) -> None:
    """Follow one row and print what it touched."""
    environment = Environment.read()
    with current_database(environment) as database:
        found = trace_row(database, path_at(environment.storage_root), where, row_id)
    emit(as_json, _values(found), lambda console: _show(console, found))


def _values(found: RowTrace) -> dict[str, Any]:
    return {
        "task": found.task,
        "row_id": found.row_id,
        "dataset_versions": [
            {"version": one.dataset.version, "id": one.dataset.id, **row_values(one.row)} for one in found.versions
        ],
        "evaluations": [_result_values(found, one) for one in found.results],
        "calls": [asdict(call) for call in found.calls],
        "calls_by_purpose": dict(Counter(call.purpose for call in found.calls)),
        "demonstration_in": [
            {"version": one.prompt.version, "id": one.prompt.id, "step": one.step, "number": one.number}
            for one in found.shown_in
        ],
        "missing": list(found.missing),
    }


def _result_values(found: RowTrace, one: RowResult) -> dict[str, Any]:
    record, example = one.evaluation, one.example
    prompt = found.prompts.get(record.prompt_version_id)
    return {
        "evaluation_id": record.id,
        "prompt_version": prompt.version if prompt else None,
        "prompt_version_id": record.prompt_version_id,
        "dataset_version_id": record.dataset_version_id,
        "split": record.split,
        "answer": example.answer,
        "expected": example.expected,
        "scores": {name: score.value for name, score in example.scores.items()},
        "reason": example.reason,
        "call_ids": list(example.call_ids),
    }


def _show(console: Console, found: RowTrace) -> None:
    newest = found.versions[0]
    told: dict[str, object] = {"row": f"{found.row_id} of task {found.task}", "split": newest.row.split}
    told |= row_facts(newest.row)
    told["in dataset versions"] = _versions_text(found)
    told["shown as an example by"] = _showings_text(found)
    console.print(facts(told))
    _show_results(console, found)
    _show_calls(console, found)
    for sentence in found.missing:
        console.print(Text(sentence, style="yellow"), soft_wrap=True)


def _versions_text(found: RowTrace) -> str:
    newest = found.versions[0].row
    parts: list[str] = []
    for one in found.versions:
        same = one.row.inputs == newest.inputs and one.row.output == newest.output
        parts.append(f"v{one.dataset.version} ({short_id(one.dataset.id)}){'' if same else ', with other text'}")
    return "; ".join(parts)


def _showings_text(found: RowTrace) -> str:
    parts = [f"{named(one.prompt)} as number {one.number} of step {one.step}" for one in found.shown_in]
    return "; ".join(parts) or "no prompt version"


def _show_results(console: Console, found: RowTrace) -> None:
    if not found.results:
        console.print("No evaluation has looked at it.")
        return
    columns = ["prompt version", "dataset", "split", "score", "answer", "why", "call"]
    numbers = {one.dataset.id: f"v{one.dataset.version}" for one in found.versions}
    rows = [
        [
            _version(found, one.evaluation.prompt_version_id),
            numbers[one.evaluation.dataset_version_id],
            one.evaluation.split,
            "–" if one.example.score is None else f"{one.example.score:.2f}",
            one.example.answer,
            one.example.reason,
            short_id(one.example.call_ids[-1]),
        ]
        for one in found.results
    ]
    console.print(table("Evaluations", columns, rows, right=["score"], whole=["prompt version", "call"]))


def _show_calls(console: Console, found: RowTrace) -> None:
    if not found.calls:
        console.print("No call has asked about it.")
        return
    purposes = ", ".join(f"{count} to {purpose}" for purpose, count in Counter(c.purpose for c in found.calls).items())
    columns = ["call", "when (UTC)", "purpose", "prompt version", "status", "cost", "cached"]
    newest = found.calls[::-1][:SHOWN_CALLS]
    rows = [
        [
            short_id(call.call_id),
            f"{call.started_at:%Y-%m-%d %H:%M:%S}",
            call.purpose,
            _version(found, call.prompt_version_id),
            call.status,
            dollars(call.cost_nano_usd),
            f"from {short_id(call.origin_call_id)}" if call.origin_call_id else "",
        ]
        for call in newest
    ]
    title = f"{len(found.calls)} calls ({purposes})"
    if len(newest) < len(found.calls):
        title += f"; the newest {len(newest)}, all of them with --json"
    console.print(table(title, columns, rows, right=["cost"], whole=["call", "prompt version"]))


def _version(found: RowTrace, version_id: str | None) -> str:
    if version_id is None:
        return "–"
    record = found.prompts.get(version_id)
    return named(record) if record else f"{short_id(version_id)}, not kept"
