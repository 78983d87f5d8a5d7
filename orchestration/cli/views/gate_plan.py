"""What the next look at the sealed test split can show, said before anything is paid for."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from domain.errors import NotFoundError
from domain.gate import GateRule
from domain.gate_plan import GatePlan
from orchestration.cli.opening import current_database, open_catalog
from orchestration.cli.screen import emit, facts
from orchestration.cli.views.runs import dataset_text
from orchestration.environments import Environment
from resources.database.repositories import dataset_versions
from resources.evaluation.plan import plan_next_look
from resources.storage.location import path_at


def planned(task_name: str, as_json: bool) -> None:
    """Print the plan of `promptory evaluate`."""
    environment = Environment.read()
    task = open_catalog(environment).get(task_name).task
    with current_database(environment) as database, database.session(read_only=True) as session:
        dataset = dataset_versions.latest(session, task_name)
        if dataset is None:
            raise NotFoundError(
                f"task {task_name!r} has no dataset version yet", mend=f"run `promptory ingest {task_name}` first."
            )
        plan = plan_next_look(session, path_at(environment.storage_root), task, dataset)
    value = {"task": task_name, "plan": True, "dataset_version": dataset.version, **plan_values(plan, task.gate)}

    def show(console: Console) -> None:
        told: dict[str, object] = {"dataset": dataset_text(dataset), "next look": plan.look, **_rule_facts(task.gate)}
        console.print(facts(told))
        for sentence in plan.sentences:
            console.print(sentence, soft_wrap=True)
        console.print("Nothing was asked and nothing was paid.")

    emit(as_json, value, show)


def plan_values(plan: GatePlan, rule: GateRule) -> dict[str, Any]:
    """A plan for JSON."""
    return {**plan.as_dict(), "gate": rule.model_dump(mode="json")}


def _rule_facts(rule: GateRule) -> dict[str, object]:
    told: dict[str, object] = {"promoted when": f"better (α = {rule.alpha:g} over all looks)"}
    if rule.min_gain:
        told["promoted when"] = f"{told['promoted when']} by at least {100 * rule.min_gain:g} points"
    if rule.non_inferiority_margin is not None:
        told["or when"] = f"not worse by {100 * rule.non_inferiority_margin:g} points and {rule.min_saving:.0%} cheaper"
    limits = (("cost", rule.max_cost_ratio), ("median latency", rule.max_latency_ratio))
    return told | {f"limit on {name}": f"{limit:g} times production's" for name, limit in limits if limit is not None}
