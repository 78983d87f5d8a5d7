"""What changed between two prompt versions."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from domain.prompt_text import prompt_diff
from orchestration.cli.figures import named, score, score_values
from orchestration.cli.opening import current_database
from orchestration.cli.screen import emit, facts
from orchestration.cli.views.comparison import difference_text
from orchestration.environments import Environment
from resources.comparison.stored import compare_stored
from resources.database.repositories import evaluations, prompt_versions
from resources.storage.location import path_at

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
        found = compare_stored(database, path_at(environment.storage_root), task, records[0].id, records[1].id)
    names = [named(record) for record in records]
    lines = prompt_diff(names[0], names[1], records[0].prompt, records[1].prompt)
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


def _style(line: str) -> str:
    return next((style for start, style in STYLES if line.startswith(start)), "")
