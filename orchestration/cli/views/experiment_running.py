"""Starting, stopping and promoting experiments, and asking who gets which variant."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from domain.errors import InputError
from domain.experiment.spec import Experiment
from domain.identity import short_id
from orchestration.cli.opening import ask_core, current_database
from orchestration.cli.screen import emit, facts, table
from orchestration.cli.views.experiments import experiment_catalog
from orchestration.cli.views.promotion import person
from orchestration.environments import Environment
from resources.catalog.sources.registry import open_source
from resources.database.repositories import experiments
from resources.database.session import Database
from resources.evaluation.promote import promote_decided
from resources.experiments.lifecycle import BY_HAND, start
from resources.experiments.live import Assignment, LiveExperiments
from resources.experiments.reporting import conclude, make_report
from resources.experiments.started import Started
from resources.storage.location import path_at


def started(name: str, since: str | None, as_json: bool) -> None:
    """Start it, or take over what may change; set its cap."""
    environment = Environment.read()
    experiment = experiment_catalog(environment).get(name).experiment
    now = datetime.now(UTC)
    with current_database(environment) as database:
        running, changed = start(
            database, experiment, started_by=f"cli:{person()}", now=now, since=_moment(since) if since else None
        )
    _cap(environment, experiment)
    value = {"experiment": name, "changed": changed, **_running_values(running)}

    def show(console: Console) -> None:
        first = len(running.epochs) == 1 and running.record.revision == 1
        done = ("started" if first else "took over the changes") if changed else "runs already; nothing changed"
        console.print(f"{name} {done}.")
        console.print(facts(_running_facts(running)))
        console.print(f"Next: promptory experiment report {name}")

    emit(as_json, value, show)


def stopped(name: str, reason: str, as_json: bool) -> None:
    """Stop it by hand; the figures of now decide."""
    now = datetime.now(UTC)
    with current_database(Environment.read()) as database:
        live = make_report(database, name, now)
        ended = conclude(database, live, now, stopped_by=f"cli:{person()}", kind=BY_HAND, reason=reason)
    decision = ended.decision
    value = {
        "experiment": name,
        "state": ended.started.record.state,
        "reason": reason,
        "verdict": decision.verdict if decision else None,
        "decision_id": decision.id if decision else None,
        "figures": decision.reason if decision else None,
    }

    def show(console: Console) -> None:
        console.print(f"{name} stopped. From now on everybody is answered by production.")
        console.print(facts({"decision": value["verdict"], "because": value["figures"]}))
        if value["verdict"] == "promote":
            console.print(f"Next: promptory experiment promote {name}")

    emit(as_json, value, show)


def promoted(name: str, as_json: bool) -> None:
    """Carry out the recorded decision."""
    with current_database(Environment.read()) as database:
        with database.session(read_only=True) as session:
            record = experiments.get(session, name)
        if record.decision_id is None:
            raise InputError(
                f"experiment {name!r} is {record.state} and has no decision to carry out",
                mend=f"see `promptory experiment report {name} --conclude`, or stop it.",
            )
        outcome = promote_decided(database, record.task, record.decision_id, datetime.now(UTC))
    value = {
        "experiment": name,
        "task": record.task,
        "moved": outcome.moved,
        "verdict": outcome.decision.verdict,
        "decision_id": outcome.decision.id,
        "production": outcome.production_id,
        "reason": outcome.reason,
    }

    def show(console: Console) -> None:
        moved = f"production of {record.task} → {short_id(outcome.production_id or '')}"
        console.print(moved if outcome.moved else "Nothing was moved.")
        console.print(outcome.reason)

    emit(as_json, value, show)


def assigned(name: str, units: tuple[str, ...], source: Path | None, as_json: bool) -> None:
    """The variant of each unit."""
    wanted = [*units, *(_unit_ids(source) if source else ())]
    if not wanted:
        raise InputError("no unit is named", field="unit", mend="name some, or a file with --from.")
    with current_database(Environment.read()) as database:
        found = _assign_all(database, name, wanted)
    value = {
        "experiment": name,
        "assignments": [
            {"unit_id": one.unit_id, "variant": one.variant, "prompt_version_id": one.prompt_version_id}
            for one in found
        ],
    }

    def show(console: Console) -> None:
        rows = [
            [one.unit_id, one.variant or "– (production)", short_id(one.prompt_version_id or "") or "–"]
            for one in found
        ]
        console.print(table(None, ["unit", "variant", "prompt version"], rows, whole=["variant"]))

    emit(as_json, value, show)


def _assign_all(database: Database, name: str, units: list[str]) -> list[Assignment]:
    live = LiveExperiments(database)
    return [live.assign(name, unit) for unit in units]


def _unit_ids(source: Path) -> list[str]:
    rows = open_source(path_at(source))
    if "unit_id" not in rows.columns:
        raise InputError(
            "there is no column 'unit_id'", file=str(source), row=1, mend=f"columns found: {', '.join(rows.columns)}."
        )
    return [str(row.values["unit_id"]).strip() for row in rows.rows if row.values.get("unit_id") not in (None, "")]


def _cap(environment: Environment, experiment: Experiment) -> None:
    if experiment.budget_usd is not None:
        cap = experiment.budget_usd
        ask_core(environment.core_settings(), lambda client: client.set_cap(experiment.scope, cap))


def _moment(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(f"{text!r} is not a time", field="since", mend="write it like 2026-11-01T00:00:00Z.") from None
    if found.tzinfo is None:
        raise InputError(f"{text!r} has no time zone", field="since", mend="add Z or an offset like +01:00.")
    return found.astimezone(UTC)


def _running_values(running: Started) -> dict[str, Any]:
    return {
        "state": running.record.state,
        "started_at": running.record.started_at.isoformat(),
        "shares": running.epochs[-1].allocation.shares(),
        "prompt_version_ids": running.record.prompt_version_ids,
    }


def _running_facts(running: Started) -> dict[str, object]:
    shares = running.epochs[-1].allocation.shares()
    return {
        "since": f"{running.record.started_at:%Y-%m-%d %H:%M} UTC",
        **{
            variant.name: f"{shares[variant.name]:.1%} of the units, prompt version "
            f"{short_id(running.prompt_version_id(variant.name))} ({variant.prompt})"
            for variant in running.experiment.variants
        },
    }
