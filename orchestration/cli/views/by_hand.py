"""Evaluations a person asks for: any prompt versions on dev, and what test has already shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from domain.dataset import DatasetVersion, Split
from domain.errors import InputError, NotFoundError
from domain.evaluators.specs import EvaluatorSpec
from domain.task import Task
from orchestration.cli.figures import dollars, interval, named, percent, usd
from orchestration.cli.opening import ask_core, current_database, open_catalog, with_task_cap
from orchestration.cli.progress_bars import progress_bars
from orchestration.cli.screen import emit, table
from orchestration.environments import Environment
from resources.database.repositories import dataset_versions, evaluations, prompt_versions
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.effort import Effort
from resources.evaluation.evaluate import EvaluationEngine
from resources.evaluation.problems import calibration_text, calibrations, problem_counts, problem_text
from resources.llm import LLMClient
from resources.observability.progress import board
from resources.storage.location import path_at


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for: `specs` is None where all the task's evaluators are wanted."""

    task: Task
    dataset: DatasetVersion
    prompts: tuple[PromptVersionRecord, ...]
    split: Split
    specs: tuple[EvaluatorSpec, ...] | None

    @property
    def names(self) -> list[str]:
        """The evaluators' names, the metric first."""
        return [spec.score_name for spec in (self.task.evaluators if self.specs is None else self.specs)]


def evaluated_by_hand(task: str, references: Sequence[str], split: str, names: Sequence[str], as_json: bool) -> None:
    """Evaluate and print; nothing is promoted and no look at test is taken."""
    environment = Environment.read()
    entry = open_catalog(environment).get(task)
    bars = progress_bars(shown=not as_json)
    with current_database(environment) as database:
        asked = _asked(database, entry.task, references, Split(split), names)
        if asked.split is Split.TEST:
            records, effort = _recorded_on_test(database, asked), Effort()
        else:
            with bars:
                records, effort = _evaluate(environment, database, asked)
    value = {
        "task": task,
        "split": split,
        "dataset_version": asked.dataset.version,
        "dataset_version_id": asked.dataset.id,
        "evaluations": [
            _values(prompt, record, asked.names) for prompt, record in zip(asked.prompts, records, strict=True)
        ],
        "effort": {
            "calls": effort.calls,
            "cached": effort.cached,
            "reused": effort.reused,
            "tokens": effort.tokens,
            "cost_nano_usd": effort.paid_nano_usd,
            "cost_usd": usd(effort.paid_nano_usd),
        },
    }
    emit(as_json, value, lambda console: _show(console, asked, records, effort))


def _asked(database: Database, task: Task, references: Sequence[str], split: Split, names: Sequence[str]) -> Asked:
    with database.session(read_only=True) as session:
        dataset = dataset_versions.latest(session, task.name)
        if dataset is None:
            raise NotFoundError(
                f"task {task.name!r} has no dataset version yet", mend=f"run `promptory ingest {task.name}`."
            )
        found = [prompt_versions.get(session, task.name, reference) for reference in references or ["production"]]
    prompts = tuple({record.id: record for record in found}.values())
    return Asked(task, dataset, prompts, split, _chosen(task, names))


def _chosen(task: Task, names: Sequence[str]) -> tuple[EvaluatorSpec, ...] | None:
    known = {spec.score_name: spec for spec in task.evaluators}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise InputError(
            f"task {task.name!r} has no evaluator {unknown[0]!r}",
            field="evaluator",
            mend=f"it has: {', '.join(known)}.",
        )
    chosen = tuple(spec for name, spec in known.items() if name in names)
    return None if not names or len(chosen) == len(known) else chosen


def _evaluate(environment: Environment, database: Database, asked: Asked) -> tuple[list[EvaluationRecord], Effort]:
    async def work(llm: LLMClient) -> tuple[list[EvaluationRecord], Effort]:
        engine = EvaluationEngine(
            task=asked.task,
            dataset=asked.dataset,
            database=database,
            root=path_at(environment.storage_root),
            llm=llm,
            clock=lambda: datetime.now(UTC),
            evaluators=asked.specs,
            progress=board.report,
        )
        done = [await engine.evaluate(record.prompt, asked.split) for record in asked.prompts]
        return [one.record for one in done], Effort.total(one.effort for one in done)

    return ask_core(with_task_cap(environment.core_settings(), asked.task), work)


def _recorded_on_test(database: Database, asked: Asked) -> list[EvaluationRecord]:
    """What a decision of the gate has shown already; see docs/decisions/0004."""
    found: list[EvaluationRecord] = []
    for prompt in asked.prompts:
        with database.session(read_only=True) as session:
            record = evaluations.latest(
                session,
                asked.task.name,
                prompt_version_id=prompt.id,
                dataset_version_id=asked.dataset.id,
                split=str(Split.TEST),
            )
        if record is None or not set(asked.names) <= set(record.summary.get("metrics", {})):
            raise InputError(
                f"{named(prompt)} was not shown the test split of dataset v{asked.dataset.version} by these "
                "evaluators, and a look by hand is not given: who has seen scores on test chooses by them, and the "
                "gate's α no longer holds",
                field="split",
                mend=f"use --split dev; `promptory evaluate {asked.task.name}` shows test to the best candidate, "
                "through the gate, and records the look.",
            )
        found.append(record)
    return found


def _values(prompt: PromptVersionRecord, record: EvaluationRecord, names: Sequence[str]) -> dict[str, Any]:
    summary = record.summary
    return {
        "prompt": {"version": prompt.version, "id": prompt.id},
        "evaluation_id": record.id,
        "rows": record.rows,
        "metrics": {name: summary["metrics"][name] for name in names},
        "problems": problem_counts([summary]),
        "calibration": {name: one for name, one in summary.get("calibration", {}).items() if name in names},
        "cost_nano_usd": summary["cost_nano_usd"],
        "judge_cost_nano_usd": summary.get("judge_cost_nano_usd", 0),
        "latency_p50_s": summary["latency_p50_s"],
        "latency_p95_s": summary["latency_p95_s"],
        "examples": record.storage_path,
    }


def _show(console: Console, asked: Asked, records: Sequence[EvaluationRecord], effort: Effort) -> None:
    columns = ["prompt version", "evaluator", "scored", "score", "95 % interval", "problems"]
    rows = [
        row for prompt, record in zip(asked.prompts, records, strict=True) for row in _rows(prompt, record, asked.names)
    ]
    title = f"{asked.task.name} on {asked.split} of dataset v{asked.dataset.version}"
    console.print(table(title, columns, rows, right=columns[2:5], whole=columns[:2]))
    for name, found in calibrations(record.summary for record in records).items():
        if name in asked.names:
            warning = found["warning"]
            console.print(Text(warning, style="yellow") if warning else calibration_text(name, found))
    for prompt, record in zip(asked.prompts, records, strict=True):
        console.print(f"Examples of v{prompt.version}: {record.storage_path}", markup=False, style="dim")
    console.print(
        f"{effort.calls:,} calls ({effort.cached:,} cached), {dollars(effort.paid_nano_usd)}; "
        f"{effort.reused:,} stored answers and judgements reused."
    )


def _rows(prompt: PromptVersionRecord, record: EvaluationRecord, names: Sequence[str]) -> list[list[object]]:
    rows: list[list[object]] = []
    for name in names:
        found = record.summary["metrics"][name]
        scored = f"{found.get('scored', record.rows):,} of {record.rows:,}"
        figures = (
            ["–", ""] if found["mean"] is None else [percent(found["mean"]), interval(found["low"], found["high"])]
        )
        first = name == names[0]
        rows.append(
            [named(prompt) if first else "", name, scored, *figures, problem_text(record.summary) if first else ""]
        )
    return rows
