"""Is the production prompt still as good as it was? Fresh answers to the dev rows, against the first fresh ones.

The evaluation that a prompt was promoted by is no reference: the prompt was chosen because it did well there, and would
seem to fall back by chance alone. So the first check after a promotion asks afresh and only sets the reference; later
ones ask its rows afresh again and are compared with it row by row. They share one α (see `alpha_for_look`).

A dataset that grows keeps the reference: its rows are asked as long as enough of them are still on `dev`. Rows that
came later have no answer from then to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from domain.dataset import DatasetVersion, Split
from domain.errors import InputError
from domain.identity import content_id
from domain.statistics.alpha_spending import alpha_for_look
from domain.statistics.intervals import mean_interval
from domain.statistics.paired import compare_paired
from domain.task import Task
from resources.database.repositories import production_checks
from resources.database.repositories.production_checks import ProductionCheck
from resources.database.repositories.prompt_versions import PromptVersionRecord
from resources.database.session import Database
from resources.evaluation.evaluate import Evaluation, EvaluationEngine

SHARE_OF_SCORES = 0.5
"""Of the task's drift α; the other half is for the inputs."""

LEAST_ROWS = 50
"""A reference of which fewer rows than these, and less than half of today's `dev`, are left is replaced."""

EVALUATION_SAMPLES = 1_000_000
"""Draws below this number are evaluations'; checks have theirs above it."""

_TASKS_APART = 2_000
"""So many times that number still fits the column."""

OpenEngine = Callable[[int], EvaluationEngine]


async def check_production(
    task: Task,
    dataset: DatasetVersion,
    production: PromptVersionRecord,
    database: Database,
    open_engine: OpenEngine,
    clock: Callable[[], datetime],
) -> tuple[ProductionCheck, Evaluation]:
    """Ask the reference's dev rows afresh, or all where there is none, and keep how the scores compare.

    Killed, it goes on with the answers it has.

    Args:
        open_engine: makes an engine for a sample; the answers of another sample are not taken for it.

    Raises:
        UnansweredError, ProviderError, EvaluatorError, NotFoundError: as `EvaluationEngine.evaluate`.
        InputError: no row could be scored both times.
    """
    with database.session(read_only=True) as session:
        earlier = production_checks.checks_of(session, task.name, production.id)
    sample = max([_first_sample(task.name) - 1, *(one.sample for one in earlier)]) + 1
    engine, only = _reference(production, open_engine, earlier)
    fresh = await open_engine(sample).evaluate(production.prompt, Split.DEV, only)
    reference = fresh if engine is None else await engine.evaluate(production.prompt, Split.DEV, only)
    look = 0 if engine is None else 1 + sum(one.look > 0 for one in earlier)
    check = _compare(task, dataset, production, sample, look, fresh, reference, clock())
    with database.session() as session:
        production_checks.save(session, check)
    return check, fresh


def _first_sample(task: str) -> int:
    """Answers are kept by prompt version and sample, whoever asked: these hardly another task draws."""
    return EVALUATION_SAMPLES * (1 + int(content_id(task)[:8], 16) % _TASKS_APART)


def _reference(
    production: PromptVersionRecord, open_engine: OpenEngine, earlier: Sequence[ProductionCheck]
) -> tuple[EvaluationEngine | None, frozenset[str] | None]:
    """The oldest reference of which enough rows are left, with the input ids of these; nothing where there is none."""
    for sample in dict.fromkeys(one.sample for one in earlier if one.look == 0):
        engine = open_engine(sample)
        kept = engine.kept(production.prompt, Split.DEV)
        if kept and (len(kept) >= LEAST_ROWS or 2 * len(kept) >= engine.rows(Split.DEV)):
            return engine, kept
    return None, None


def _compare(
    task: Task,
    dataset: DatasetVersion,
    production: PromptVersionRecord,
    sample: int,
    look: int,
    fresh: Evaluation,
    reference: Evaluation,
    now: datetime,
) -> ProductionCheck:
    pairs = _pairs(fresh.arm().scores, reference.arm().scores)
    ours, theirs = [one for one, _ in pairs], [other for _, other in pairs]
    interval = mean_interval(ours)
    # "The reference is better" is what "production has become worse" means.
    compared = compare_paired(theirs, ours)
    first = look == 0
    return ProductionCheck(
        id=content_id([task.name, production.id, dataset.id, sample]),
        task=task.name,
        prompt_version_id=production.id,
        dataset_version_id=dataset.id,
        sample=sample,
        look=look,
        rows=len(pairs),
        score=interval.mean,
        score_low=interval.low,
        score_high=interval.high,
        reference_score=compared.candidate_mean,
        difference=-compared.difference,
        p_value=1.0 if first else compared.p_value,
        alpha=0.0 if first else alpha_for_look(task.drift.alpha * SHARE_OF_SCORES, look),
        checked_at=now,
    )


def _pairs(ours: Sequence[float | None], theirs: Sequence[float | None]) -> list[tuple[float, float]]:
    pairs = [(one, other) for one, other in zip(ours, theirs, strict=True) if one is not None and other is not None]
    if not pairs:
        raise InputError(
            "no row of dev could be scored both times", field="evaluators", mend="see why the evaluators failed."
        )
    return pairs
