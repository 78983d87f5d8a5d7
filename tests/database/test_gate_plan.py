"""What the next look can show, from what is stored: dev evaluations, looks spent, the size of the test split."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from upath import UPath

from domain.dataset import DatasetVersion
from domain.evaluators.row_score import RowScore
from domain.gate_plan import ASSUMED, GatePlan
from domain.prompt import PromptStep, PromptVersion
from domain.task import Task
from resources.database.repositories import aliases, evaluations, gate_decisions, prompt_versions
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.session import Database
from resources.evaluation.example_files import write_examples
from resources.evaluation.plan import plan_next_look
from resources.evaluation.results import ExampleResult

TASK = "triage"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
DATASET = DatasetVersion(
    id="d" * 64, task=TASK, version=1, storage_path="x", rows=600, split_rows={"train": 100, "dev": 100, "test": 400}
)


@pytest.fixture
def ids(database: Database) -> list[str]:
    """Two versions; the first is in production."""
    with database.session() as session:
        made = [
            prompt_versions.register(
                session, TASK, PromptVersion(steps=(PromptStep(output_prompt=text),), model="offline/nearest"),
                created_by="author", now=NOW,
            ).id
            for text in "ab"
        ]  # fmt: skip
        aliases.move(
            session, TASK, "production", made[0], expected_revision=None, moved_by="author", reason="first", now=NOW
        )
    return made


def plan(database: Database, root: Path) -> GatePlan:
    task = Task.model_validate(
        {
            "name": TASK,
            "dataset": {"source": "rows.csv", "inputs": ["text"], "output": "label"},
            "prompt": {"model": "offline/nearest", "output_prompt": "{{ text }}"},
            "evaluators": [{"kind": "exact_match"}],
        }
    )
    with database.session(read_only=True) as session:
        return plan_next_look(session, UPath(root), task, DATASET)


def evaluate(database: Database, root: Path, version_id: str, scores: list[float], split: str = "dev") -> None:
    examples = [
        ExampleResult(
            f"r{n}",
            f"{n:064x}",
            {"text": "x"},
            "y",
            "y",
            "exact_match",
            {"exact_match": RowScore(score, "")},
            None,
            ("c",),
            1,
            0.1,
            7,
            3,
        )
        for n, score in enumerate(scores)
    ]
    evaluation_id = f"{version_id[:60]}{split}"
    with database.session() as session:
        evaluations.save(
            session,
            evaluations.EvaluationRecord(
                evaluation_id,
                TASK,
                version_id,
                DATASET.id,
                split,
                "exact_match",
                len(scores),
                0.5,
                0.4,
                0.6,
                {},
                write_examples(UPath(root), evaluation_id, examples),
                NOW,
            ),
        )


def test_nothing_seen_on_dev_is_an_assumption(database: Database, ids: list[str], tmp_path: Path):
    found = plan(database, tmp_path)
    assert (found.rows, found.look, found.spread) == (400, 1, ASSUMED)


def test_prompts_differ_as_they_did_on_dev_and_test_is_not_asked(database: Database, ids: list[str], tmp_path: Path):
    evaluate(database, tmp_path, ids[0], [1, 1, 0, 0] * 10)
    evaluate(database, tmp_path, ids[0], [0, 1, 0, 0] * 10, "test")
    evaluate(database, tmp_path, ids[1], [1, 1, 1, 1] * 10, "test")
    assert plan(database, tmp_path).spread == ASSUMED
    evaluate(database, tmp_path, ids[1], [1, 1, 1, 0] * 10)
    spread = plan(database, tmp_path).spread
    assert (spread.discordant_rate, spread.sd, spread.source) == (0.25, None, "as v1 and v2 did on dev")


def test_graded_scores_differ_by_their_deviation(database: Database, ids: list[str], tmp_path: Path):
    evaluate(database, tmp_path, ids[0], [0.5, 0.5, 0.5, 0.5])
    evaluate(database, tmp_path, ids[1], [0.25, 0.75, 0.25, 0.75])
    spread = plan(database, tmp_path).spread
    assert spread.discordant_rate is None
    assert spread.sd == pytest.approx(0.288675, abs=1e-6)


def test_looks_that_were_spent_count(database: Database, ids: list[str], tmp_path: Path):
    first = plan(database, tmp_path)
    with database.session() as session:
        for look in (0, 1, 2):
            gate_decisions.record(
                session,
                GateDecisionRecord(
                    str(look) * 64, TASK, ids[1], ids[0], DATASET.id, None, None, look, "keep", "", {}, NOW
                ),
            )
    third = plan(database, tmp_path)
    assert (first.look, third.look) == (1, 3)
    assert third.alpha_per_route == pytest.approx(first.alpha_per_route / 9)
    assert (third.detectable or 0) > (first.detectable or 1)
