"""What changed between two prompt versions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import unified_diff

from rich.console import Console
from rich.text import Text
from upath import UPath

from domain.contracts import contract_section
from domain.prompt import PromptVersion
from orchestration.cli.figures import named, score, score_values
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, facts
from orchestration.cli.views.comparison import difference_text
from orchestration.cli.views.prompts import step_demonstrations
from orchestration.environments import Environment
from resources.comparison.stored import compare_stored
from resources.database.repositories import evaluations, prompt_versions

STYLES = (("+++", "bold"), ("---", "bold"), ("@@", "cyan"), ("+", "green"), ("-", "red"))
SPLITS = ("dev", "test")


def compared(task: str, old: str, new: str, as_json: bool) -> None:
    """The diff of all texts, and both scores where there are any."""
    environment = Environment.read()
    with current_database(environment) as database, database.session(read_only=True) as session:
        records = [prompt_versions.get(session, task, reference) for reference in (old, new)]
        scores = [
            {split: evaluations.latest(session, task, prompt_version_id=record.id, split=split) for split in SPLITS}
            for record in records
        ]
        found = compare_stored(database, UPath(environment.storage_root), task, records[0].id, records[1].id)
    names = [named(record) for record in records]
    lines = _diff(names[0], names[1], records[0].prompt, records[1].prompt)
    value = {
        "task": task,
        "a": {"version": records[0].version, "id": records[0].id, "scores": _scores(scores[0])},
        "b": {"version": records[1].version, "id": records[1].id, "scores": _scores(scores[1])},
        "difference": found.figures.paired.as_dict() if found.figures else None,
        "split": found.split,
        "diff": lines,
    }

    def show(console: Console) -> None:
        for line in lines:
            console.print(Text(line, style=_style(line)), soft_wrap=True)
        if not lines:
            console.print(f"{names[0]} and {names[1]} are the same version.")
        for name, held in zip(names, scores, strict=True):
            console.print(facts({f"{name} on {split}": score(held[split]) for split in SPLITS}))
        if lines and found.figures:
            console.print(f"The change: {difference_text(found)}.")
            console.print(f"Which rows flipped: promptory prompt compare {task} {old} {new} --html comparison.html")

    emit(as_json, value, show)


def _scores(held: dict[str, evaluations.EvaluationRecord | None]) -> dict[str, object]:
    return {split: score_values(record) for split, record in held.items()}


def _diff(old_name: str, new_name: str, old: PromptVersion, new: PromptVersion) -> list[str]:
    return list(unified_diff(list(_lines(old)), list(_lines(new)), old_name, new_name, lineterm=""))


def _lines(prompt: PromptVersion) -> Iterator[str]:
    """A prompt version as text: everything its id hashes, in the order it is read."""
    yield f"model: {prompt.model}"
    yield f"parameters: {json.dumps(prompt.parameters.model_dump(mode='json'), sort_keys=True)}"
    for step in prompt.steps:
        yield f"== step {step.name}"
        yield "-- system prompt"
        yield from step.system_prompt.splitlines()
        yield f"-- output contract: {step.output.kind}"
        yield from contract_section(step.output).splitlines()
        yield "-- output prompt"
        yield from step.output_prompt.splitlines()
        yield f"-- demonstrations: {len(step.demonstrations)}"
        for demonstration in step_demonstrations(step):
            yield from demonstration.splitlines()


def _style(line: str) -> str:
    return next((style for start, style in STYLES if line.startswith(start)), "")
