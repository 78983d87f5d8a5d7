"""Two tasks that ask the same of the same rows: each has its own records, and answers are paid for once."""

from __future__ import annotations

import pytest
from evaluation.desk import LABELS, NOW, Desk, rows_of, task_of

from domain.errors import ConflictError
from resources.compression.run import CompressionRun
from resources.database.repositories import evaluations, optimization_runs
from resources.optimization.run_optimization import OptimizationRun

FIRST = task_of([{"kind": "choice_label"}], optimizer={"kind": "labeled_few_shot"})
SECOND = FIRST.model_copy(update={"name": "boxes"})
ROWS = rows_of(20)


def test_each_task_has_its_own_evaluation_of_answers_that_are_paid_for_once(desk: Desk) -> None:
    desk.server.behaviour = lambda _body: LABELS[0]
    made = [desk.evaluate(task, ROWS).record for task in (FIRST, SECOND, FIRST, SECOND)]
    assert len(desk.server.requests) == made[0].rows
    assert made[:2] == made[2:]
    with desk.database.session(read_only=True) as session:
        for record, task in zip(made, (FIRST, SECOND), strict=False):
            assert evaluations.list_evaluations(session, task.name) == [record]
    assert len(set(desk.root.glob("evaluations/**/*.parquet"))) == 2


@pytest.mark.parametrize("kind", [OptimizationRun, CompressionRun])
def test_each_task_has_its_own_run_and_the_first_one_keeps_its_id(
    desk: Desk, kind: type[OptimizationRun] | type[CompressionRun]
) -> None:
    dataset, prompts = desk.dataset(ROWS), [desk.register(task, task.prompt.version()) for task in (FIRST, SECOND)]

    def run_ids() -> list[str]:
        with desk.database.session(read_only=True) as session:
            return [
                kind(task, prompt, dataset, session).id for task, prompt in zip((FIRST, SECOND), prompts, strict=True)
            ]

    def start(run_id: str, task: str) -> None:
        with desk.database.session() as session:
            optimization_runs.start(
                session, run_id, task=task, prompt_version_id=prompts[0].id, dataset_version_id=dataset.id,
                optimizer={}, now=NOW,
            )  # fmt: skip

    shared = run_ids()[0]
    start(shared, FIRST.name)
    first, second = run_ids()
    assert first == shared
    assert second != shared
    start(second, SECOND.name)
    assert run_ids() == [first, second]
    with pytest.raises(ConflictError, match="task 'crates'"):
        start(first, SECOND.name)
