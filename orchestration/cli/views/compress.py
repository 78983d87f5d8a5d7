"""Compressing a task's production prompt, and what came of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.text import Text

from domain.compression import pareto_front
from domain.identity import short_id
from orchestration.cli.figures import dollars, named, percent
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, table
from orchestration.cli.views.effort import Effort
from orchestration.cli.views.runs import INGEST, run, with_progress
from orchestration.environments import Environment
from orchestration.run_report import RunFailedError
from resources.comparison.page import FOLDER
from resources.compression.run import Trial, trials_of
from resources.database.repositories import gate_decisions, optimization_runs, prompt_versions
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.repositories.optimization_runs import OptimizationRunRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.storage.location import path_at


@dataclass(frozen=True, slots=True)
class _Found:
    """A compression as recorded; `chosen` and `decision` are None where nothing was worth the gate."""

    record: OptimizationRunRecord
    trials: tuple[Trial, ...]
    chosen: PromptVersionRecord | None
    decision: GateDecisionRecord | None
    promoted: bool
    outcome: str | None
    nothing_chosen: str
    picture: str


def compressed(task: str, as_json: bool, verbose: bool) -> None:
    """Compress, ask the gate, carry its decision out: the assets that the UI shows, run here."""
    environment = Environment.read()
    run(environment, task, INGEST, as_json=as_json, verbose=verbose)
    try:
        report, effort = run(environment, task, ("compression",), as_json=as_json, verbose=verbose)
    except RunFailedError as error:
        raise with_progress(environment, task, error) if error.interrupted else error from None
    told = report.metadata["compression"]
    outcome: dict[str, Any] = {}
    if told["verdict"] == "promote":
        promotion, _ = run(environment, task, ("promotion",), as_json=as_json, verbose=verbose)
        outcome = promotion.metadata["promotion"]
    found = _read(environment, task, told, outcome)
    emit(as_json, _values(found, effort), lambda console: _show(console, found, effort))


def _read(environment: Environment, task: str, told: dict[str, Any], outcome: dict[str, Any]) -> _Found:
    decision_id = told.get("decision_id")
    with current_database(environment) as database, database.session(read_only=True) as session:
        record = optimization_runs.get(session, str(told["run_id"]))
        decision = gate_decisions.get(session, str(decision_id)) if decision_id else None
        chosen = prompt_versions.get(session, task, str(told["result_version_id"])) if decision else None
    return _Found(
        record=record,
        trials=trials_of(record),
        chosen=chosen,
        decision=decision,
        promoted=bool(outcome.get("moved")),
        outcome=outcome.get("reason"),
        nothing_chosen=str(told["reason"]),
        picture=str(path_at(environment.storage_root) / FOLDER / f"{short_id(record.id)}.svg"),
    )


def _values(found: _Found, effort: Effort) -> dict[str, Any]:
    decision, chosen = found.decision, found.chosen
    front = {one.prompt_version_id for one in pareto_front(found.trials)}
    return {
        "task": found.record.task,
        "run_id": found.record.id,
        "stop_reason": found.record.stop_reason,
        "trials": [{**asdict(one), "on_front": one.prompt_version_id in front} for one in found.trials],
        "chosen": {"version": chosen.version, "id": chosen.id} if chosen else None,
        "decision": {"id": decision.id, "verdict": decision.verdict, "reason": decision.reason} if decision else None,
        "promoted": found.promoted,
        "outcome": found.outcome,
        "picture": found.picture,
        "effort": effort.values(),
    }


def _show(console: Console, found: _Found, effort: Effort) -> None:
    front = {one.prompt_version_id for one in pareto_front(found.trials)}
    chosen = found.chosen.id if found.chosen else None
    dearest = found.trials[0].cost_nano_usd or 1
    rows = [
        [
            Text(one.change, style="bold green" if one.prompt_version_id == chosen else ""),
            one.model,
            one.demonstrations,
            percent(one.score),
            dollars(one.cost_nano_usd),
            f"{one.cost_nano_usd / dearest:.0%}",
            "yes" if one.prompt_version_id in front else "",
        ]
        for one in found.trials
    ]
    columns = ["variant", "model", "examples", "score on dev", "cost of dev", "of production's", "on the front"]
    console.print(table("Variants on dev", columns, rows, right=columns[2:6]))
    if found.record.stop_reason:
        console.print(Text("The run's own cap (budget.run_usd) cut the search short.", style="yellow"))
    if found.chosen is None or found.decision is None:
        console.print(f"{found.nothing_chosen} Test was not looked at.")
    else:
        console.print(f"Chosen: {named(found.chosen)}. Gate: {found.decision.verdict}", markup=False)
        console.print(f"  {found.outcome or found.decision.reason}", markup=False)
    console.print(f"Picture: {found.picture}", soft_wrap=True)
    effort.show(console)
