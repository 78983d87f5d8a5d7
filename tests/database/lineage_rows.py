"""A small history to follow: two dataset versions, a prompt that a run made, evaluations, calls and their attempts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import insert
from upath import UPath

from domain.dataset import DatasetVersion, Row, Split, dataset_version_id, make_row
from domain.dataset import SplitFractions as Fractions
from domain.evaluators.row_score import RowScore
from domain.prompt import Demonstration, PromptStep, PromptVersion
from resources.database.repositories import dataset_versions, evaluations, optimization_runs, prompt_versions
from resources.database.repositories.optimization_runs import RunResult
from resources.database.session import Database
from resources.database.tables import AttemptRow, CallRow
from resources.evaluation.example_files import write_examples
from resources.evaluation.results import ExampleResult
from resources.storage.datasets import DatasetStore

TASK = "triage"
RUN = "e" * 64
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
CALL = {
    "origin_call_id": None, "purpose": "evaluate", "task": TASK, "prompt_version_id": None, "step": "answer",
    "dataset_version_id": None, "row_id": None, "run_id": None, "batch_id": None, "experiment_id": None,
    "unit_id": None, "requested_model": "offline/nearest", "model": "offline/nearest", "status": "ok", "reason": None,
    "cached": False, "attempts": 1, "input_tokens": 9, "output_tokens": 1, "cost_nano_usd": 70, "latency_s": 0.1,
    "started_at": NOW, "finished_at": NOW,
}  # fmt: skip
ATTEMPT = {
    "number": 1, "model": "offline/nearest", "charge": "settled", "outcome": "ok", "reserved_nano_usd": 90,
    "cost_nano_usd": 70, "input_tokens": 9, "output_tokens": 1, "cached_input_tokens": 0, "price": None,
    "scopes": ["org"], "provider_request_id": None, "started_at": NOW, "finished_at": NOW, "latency_s": 0.1,
}  # fmt: skip


def row(number: int, text: str, split: Split = Split.TRAIN) -> Row:
    made = make_row({"text": text, "channel": "mail"}, "yes", f"row-{number:04d}", Fractions())
    return Row(made.row_id, made.inputs, made.output, split, made.input_id)


ROWS = (
    row(1, "one"), row(2, "two"), row(3, "three", Split.DEV), row(4, "four", Split.TEST), row(5, "five", Split.TEST)
)  # fmt: skip


@dataclass
class History:
    """What was stored; `at` counts the calls, so that each is later than the one before."""

    database: Database
    root: UPath
    first: DatasetVersion
    second: DatasetVersion
    authored: PromptVersion
    learned: PromptVersion
    at: int = 0

    def call(self, call_id: str, *charges: str, **changes: object) -> str:
        """A call with an attempt per charge; without any it is a cached one."""
        self.at += 1
        when = NOW + timedelta(seconds=self.at)
        values = {**CALL, "call_id": call_id, "started_at": when, "finished_at": when, "attempts": len(charges)}
        with self.database.session() as session:
            session.execute(insert(CallRow).values({**values, **changes}))
        for number, charge in enumerate(charges, start=1):
            self.attempt(call_id, number, charge)
        return call_id

    def attempt(self, call_id: str, number: int, charge: str) -> None:
        values = {**ATTEMPT, "attempt_id": f"{call_id}-{number}", "call_id": call_id, "number": number}
        money = {"charge": charge, "cost_nano_usd": 0 if charge == "free" else 70}
        with self.database.session() as session:
            session.execute(insert(AttemptRow).values({**values, **money}))


def store_dataset(database: Database, root: UPath, rows: tuple[Row, ...]) -> DatasetVersion:
    version_id = dataset_version_id(rows)
    path = DatasetStore(root).write(version_id, rows)
    with database.session() as session:
        return dataset_versions.register(
            session,
            TASK,
            version_id,
            storage_path=path,
            rows=len(rows),
            split_rows={},
            quarantined=0,
            sources=[],
            now=NOW,
        )


def prompts() -> tuple[PromptVersion, PromptVersion]:
    """The authored one, and one that shows two rows and an example nobody has a row for."""
    shown = [("one", "yes"), ("two", "no"), ("by hand", "yes")]
    step = PromptStep(system_prompt="Say yes or no.", output_prompt="{{ text }}")
    examples = tuple(Demonstration(inputs={"text": text}, output=output) for text, output in shown)
    plain = PromptVersion(steps=(step,), model="offline/nearest")
    return plain, plain.with_steps((step.model_copy(update={"demonstrations": examples}),))


def store_history(database: Database, root: UPath) -> History:
    edited = row(2, "two, edited")
    first = store_dataset(database, root, ROWS)
    second = store_dataset(database, root, (ROWS[0], edited, *ROWS[2:], row(6, "six", Split.DEV)))
    authored, learned = prompts()
    with database.session() as session:
        prompt_versions.register(session, TASK, authored, created_by="author", now=NOW)
        prompt_versions.register(session, TASK, learned, created_by="optimizer:x", now=NOW, parent_id=authored.id)
        optimization_runs.start(
            session,
            RUN,
            task=TASK,
            prompt_version_id=authored.id,
            dataset_version_id=first.id,
            optimizer={"kind": "labeled_few_shot"},
            now=NOW,
        )
        tried = ({"prompt_version_id": authored.id}, {"prompt_version_id": "a" * 64})
        result = RunResult(learned.id, 0.5, reference_prompt_version_ids=("b" * 64,), candidates=tried)
        optimization_runs.finish(session, RUN, result, now=NOW)
    history = History(database, root, first, second, authored, learned)
    for number, (version, split) in enumerate(((first, "dev"), (second, "dev"), (second, "test"))):
        store_evaluation(history, str(number) * 64, version, split)
    return history


def store_evaluation(history: History, evaluation_id: str, version: DatasetVersion, split: str) -> None:
    rows = DatasetStore(history.root).read(version, [Split(split)])
    examples = [
        ExampleResult(
            one.row_id,
            one.input_id,
            one.inputs,
            one.output,
            "yes",
            "exact",
            {"exact": RowScore(1.0, "right")},
            None,
            ("c",),
            1,
            0.1,
            7,
            3,
        )
        for one in rows
    ]
    with history.database.session() as session:
        evaluations.save(
            session,
            evaluations.EvaluationRecord(
                evaluation_id,
                TASK,
                history.learned.id,
                version.id,
                split,
                "exact",
                len(rows),
                1.0,
                0.5,
                1.0,
                {},
                write_examples(history.root, evaluation_id, examples),
                NOW,
            ),
        )
