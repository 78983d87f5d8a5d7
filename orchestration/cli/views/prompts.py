"""Prompt versions: the list and one in full."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from domain.contracts import contract_section
from domain.prompt import PromptStep
from domain.prompt_text import step_demonstrations
from orchestration.cli.figures import named, score, score_values
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, facts, table
from orchestration.environments import Environment
from resources.database.repositories import aliases, evaluations, prompt_versions, tasks
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord

SHOWN_DEMONSTRATIONS = 5


def listed(task: str, as_json: bool) -> None:
    """All versions of a task, newest first."""
    with current_database(Environment.read()) as database, database.session(read_only=True) as session:
        tasks.get_task(session, task)
        names: dict[str, list[str]] = {}
        for alias in aliases.list_aliases(session, task):
            names.setdefault(alias.prompt_version_id, []).append(alias.alias)
        found = [
            (
                record,
                names.get(record.id, []),
                evaluations.latest(session, task, prompt_version_id=record.id, split="test"),
            )
            for record in prompt_versions.list_prompt_versions(session, task)
        ]
    value = {
        "task": task,
        "versions": [{**_values(record), "aliases": held, "score": score_values(seen)} for record, held, seen in found],
    }
    columns = ["version", "aliases", "score on test", "demos", "made by", "from"]

    def show(console: Console) -> None:
        numbers = {record.id: f"v{record.version}" for record, _, _ in found}
        rows = [_cells(record, held, seen, numbers) for record, held, seen in found]
        title = f"Prompt versions of {task}"
        console.print(table(title, columns, rows, right=["demos"], whole=["version", "aliases", "score on test"]))

    emit(as_json, value, show)


def shown(task: str, reference: str, as_json: bool) -> None:
    """One version in full."""
    with current_database(Environment.read()) as database, database.session(read_only=True) as session:
        record = prompt_versions.get(session, task, reference)
        scores = evaluations.list_evaluations(session, task, prompt_version_id=record.id)
    value = {
        **_values(record),
        "content": record.prompt.content(),
        "evaluations": [score_values(one) for one in scores],
    }

    def show(console: Console) -> None:
        about = {**_values(record), "version": named(record)}
        about["parameters"] = record.prompt.parameters.model_dump(mode="json", exclude_defaults=True) or "defaults"
        for one in scores[:4]:
            about[f"score on {one.split}"] = f"{score(one)}, {one.rows} rows"
        console.print(facts(about))
        for step in record.prompt.steps:
            console.print(step_panel(step))

    emit(as_json, value, show)


def _values(record: PromptVersionRecord) -> dict[str, Any]:
    return {
        "task": record.task,
        "version": record.version,
        "id": record.id,
        "name": record.name,
        "model": record.prompt.model,
        "demonstrations": sum(len(step.demonstrations) for step in record.prompt.steps),
        "parent_id": record.parent_id,
        "created_by": record.created_by,
        "created_at": record.created_at,
    }


def _cells(
    record: PromptVersionRecord, held: list[str], seen: EvaluationRecord | None, numbers: dict[str, str]
) -> list[object]:
    values = _values(record)
    return [
        named(record),
        Text(", ".join(held), style="green"),
        score(seen),
        values["demonstrations"],
        record.created_by,
        numbers.get(record.parent_id or "", ""),
    ]


def step_panel(step: PromptStep) -> Panel:
    """One step of a prompt version in full, all but the many demonstrations."""
    return Panel(_step_text(step), title=f"step {step.name}", title_align="left")


def _step_text(step: PromptStep) -> Text:
    text = Text()
    _section(text, "system", step.system_prompt)
    _section(text, "output contract, as told to the model", contract_section(step.output))
    _section(text, "output prompt", step.output_prompt)
    demonstrations = step_demonstrations(step)
    if demonstrations:
        left = len(demonstrations) - SHOWN_DEMONSTRATIONS
        more = [f"… and {left} more (all of them with --json)"] if left > 0 else []
        _section(
            text, f"{len(demonstrations)} demonstrations", "\n\n".join([*demonstrations[:SHOWN_DEMONSTRATIONS], *more])
        )
    text.rstrip()
    return text


def _section(text: Text, title: str, body: str) -> None:
    if body:
        text.append(f"{title}\n", style="bold cyan")
        text.append(f"{body}\n\n")
