"""What a call rests on."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from domain.dataset import Row
from domain.identity import short_id
from orchestration.cli.figures import dollars, named, usd
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, facts, table
from orchestration.cli.views.prompts import step_panel
from orchestration.cli.views.runs import dataset_text, dataset_values
from orchestration.environments import Environment
from resources.database.repositories.ledger import AttemptRecord, CallRecord
from resources.database.repositories.optimization_runs import OptimizationRunRecord
from resources.lineage.call_trace import CallMoney, CallTrace, PromptOrigin, trace_call
from resources.storage.location import path_at

SHOWN_ROWS = 8


def traced(reference: str, as_json: bool) -> None:
    """Follow one call and print where it leads."""
    environment = Environment.read()
    with current_database(environment) as database:
        found = trace_call(database, path_at(environment.storage_root), reference)
    emit(as_json, _values(found), lambda console: _show(console, found))


def row_values(row: Row) -> dict[str, Any]:
    """A dataset row for JSON."""
    return {
        "row_id": row.row_id,
        "split": str(row.split),
        "input_id": row.input_id,
        "inputs": row.inputs,
        "expected": row.output,
    }


def row_facts(row: Row) -> dict[str, object]:
    """A dataset row as lines."""
    return {**{f"row: {name}": text for name, text in row.inputs.items()}, "expected": row.output}


def _values(found: CallTrace) -> dict[str, Any]:
    return {
        **_money_values(found.money),
        "origin": _money_values(found.origin) if found.origin else None,
        "prompt": _prompt_values(found.prompt) if found.prompt else None,
        "dataset": dataset_values(found.dataset) if found.dataset else None,
        "row": row_values(found.row) if found.row else None,
        "missing": list(found.missing),
    }


def _money_values(money: CallMoney) -> dict[str, Any]:
    return {
        "call_id": money.call_id,
        "call": asdict(money.call) if money.call else None,
        "attempts": [asdict(one) for one in money.attempts],
        "spent_nano_usd": money.spent_nano_usd,
        "spent_usd": usd(money.spent_nano_usd),
        "ambiguous_nano_usd": money.ambiguous_nano_usd,
    }


def _prompt_values(prompt: PromptOrigin) -> dict[str, Any]:
    record, run = prompt.record, prompt.run
    return {
        "id": prompt.version_id,
        "version": record.version if record else None,
        "created_by": record.created_by if record else None,
        "parent_id": record.parent_id if record else None,
        "tried": prompt.tried.content() if prompt.tried else None,
        "role": prompt.role,
        "optimization_run": {
            "id": run.id,
            "optimizer": run.optimizer,
            "status": run.status,
            "started_from": run.prompt_version_id,
            "dataset_version_id": run.dataset_version_id,
            "dev_score": run.dev_score,
        }
        if run
        else None,
        "trained_on": dataset_values(prompt.trained_on) if prompt.trained_on else None,
        "demonstrations": [asdict(one) for one in prompt.demonstrations],
    }


def _show(console: Console, found: CallTrace) -> None:
    told: dict[str, object] = {"call": found.money.call_id}
    if found.money.call:
        told |= _call_facts(found.money.call)
    if found.origin:
        when = f" of {found.origin.call.started_at:%Y-%m-%d %H:%M:%S} UTC" if found.origin.call else ""
        told["answer from the cache"] = f"made and paid for by call {found.origin.call_id}{when}"
    if found.prompt:
        told |= _prompt_facts(found.prompt)
    if found.dataset:
        told["dataset"] = dataset_text(found.dataset)
    if found.row:
        told["row"] = f"{found.row.row_id} ({found.row.split})"
        told |= row_facts(found.row)
    console.print(facts(told))
    if found.prompt and found.prompt.tried:
        for step in found.prompt.tried.steps:
            console.print(step_panel(step))
    _show_attempts(console, "Attempts", found.money)
    if found.origin:
        _show_attempts(console, f"Attempts of the call that paid, {short_id(found.origin.call_id)}", found.origin)
    for sentence in found.missing:
        console.print(Text(sentence, style="yellow"), soft_wrap=True)


def _call_facts(call: CallRecord) -> dict[str, object]:
    told: dict[str, object] = {
        "made for": f"{call.purpose} of task {call.task or 'none'}",
        "when": f"{call.started_at:%Y-%m-%d %H:%M:%S} UTC, {1000 * call.latency_s:.0f} ms",
        "status": call.status if call.reason is None else f"{call.status} ({call.reason})",
        "model": call.model or f"{call.requested_model} (asked for)",
        "tokens": f"{call.input_tokens:,} in, {call.output_tokens:,} out",
        "cost": dollars(call.cost_nano_usd),
    }
    others = (
        ("step", call.step),
        ("in optimization run", call.run_id),
        ("batch", call.batch_id),
        ("experiment", call.experiment_id),
        ("unit", call.unit_id),
    )
    return told | {name: value for name, value in others if value is not None}


def _prompt_facts(prompt: PromptOrigin) -> dict[str, object]:
    record = prompt.record
    told: dict[str, object] = {
        "prompt version": named(record) if record else f"{short_id(prompt.version_id)}, tried and not kept"
    }
    if prompt.run is None:
        told["made by"] = record.created_by if record else "unknown"
        return told
    told["made by"] = _run_text(prompt.run, prompt.role)
    if prompt.trained_on:
        told["trained on"] = dataset_text(prompt.trained_on)
    if prompt.demonstrations:
        told["demonstrations"] = _demonstrations_text(prompt)
    return told


def _run_text(run: OptimizationRunRecord, role: str | None) -> str:
    kind = run.optimizer.get("kind", "optimizer")
    return f"optimization run {short_id(run.id)} ({kind}) as its {role or 'intermediate prompt'}"


def _demonstrations_text(prompt: PromptOrigin) -> str:
    ids = [one.row_id for one in prompt.demonstrations if one.row_id is not None]
    several = sum(one.alike > 1 for one in prompt.demonstrations)
    by_hand = sum(one.alike == 0 for one in prompt.demonstrations)
    more = f" and {len(ids) - SHOWN_ROWS} more" if len(ids) > SHOWN_ROWS else ""
    parts = [
        f"{len(ids)} of its rows: {', '.join(ids[:SHOWN_ROWS])}{more}" if ids else "",
        f"{several} whose fields several of its rows have" if several else "",
        f"{by_hand} that are no row of it" if by_hand else "",
    ]
    return "; ".join(part for part in parts if part)


def _show_attempts(console: Console, title: str, money: CallMoney) -> None:
    if not money.attempts:
        return
    columns = ["", "model", "outcome", "charge", "reserved", "cost", "tokens in", "out", "latency", "scopes"]
    rows = [_attempt_cells(one) for one in money.attempts]
    console.print(table(title, columns, rows, right=["reserved", "cost", "tokens in", "out", "latency"]))


def _attempt_cells(one: AttemptRecord) -> list[object]:
    amounts = [dollars(one.reserved_nano_usd), dollars(one.cost_nano_usd), f"{one.input_tokens:,}"]
    latency = f"{1000 * one.latency_s:.0f} ms"
    scopes = ", ".join(_short_scope(scope) for scope in one.scopes)
    return [one.number, one.model, one.outcome, one.charge, *amounts, f"{one.output_tokens:,}", latency, scopes]


def _short_scope(scope: str) -> str:
    kind, colon, name = scope.partition(":")
    return f"{kind}:{short_id(name)}" if colon and len(name) == 64 else scope
