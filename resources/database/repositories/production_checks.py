"""Checks of production prompts: fresh evaluations against the reference, in the order they were made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from resources.database.insert_ignore import insert_ignore
from resources.database.repositories.records import as_row, read, select_record
from resources.database.tables import ProductionCheckRow


@dataclass(frozen=True, slots=True)
class ProductionCheck:
    """One fresh evaluation of a production prompt.

    Attributes:
        sample: which fresh draw of answers it is; each draw is paid for once.
        look: the how manieth comparison of this prompt, over all dataset versions, from 1; it decides `alpha`. 0 for a
            check that sets the reference.
        rows: those that are compared; all of `dev` where the check sets the reference.
        score, score_low, score_high: mean of the metric with its 95 % interval.
        difference: score − reference, on the same rows.
        p_value: one-sided, of "worse than the reference"; below `alpha` it is called drift.
    """

    id: str
    task: str
    prompt_version_id: str
    dataset_version_id: str
    sample: int
    look: int
    rows: int
    score: float
    score_low: float
    score_high: float
    reference_score: float
    difference: float
    p_value: float
    alpha: float
    checked_at: datetime

    @property
    def worse(self) -> bool:
        """Whether production is worse than when it was promoted, beyond what chance explains."""
        return self.p_value <= self.alpha


def save(session: Session, check: ProductionCheck) -> None:
    """Store a check; one that is there already is left alone."""
    insert_ignore(session, ProductionCheckRow, [as_row(check)])


def checks_of(session: Session, task: str, prompt_version_id: str) -> list[ProductionCheck]:
    """The checks of one prompt version, over all dataset versions, oldest first."""
    query = select_record(ProductionCheckRow, ProductionCheck).where(
        ProductionCheckRow.task == task, ProductionCheckRow.prompt_version_id == prompt_version_id
    )
    rows = session.execute(query.order_by(ProductionCheckRow.checked_at, ProductionCheckRow.look))
    return [read(ProductionCheck, row) for row in rows]


def latest(session: Session, task: str) -> ProductionCheck | None:
    """The task's newest check."""
    query = select_record(ProductionCheckRow, ProductionCheck).where(ProductionCheckRow.task == task)
    row = session.execute(query.order_by(ProductionCheckRow.checked_at.desc()).limit(1)).one_or_none()
    return None if row is None else read(ProductionCheck, row)


def all_checks(session: Session) -> list[ProductionCheck]:
    """Every check, oldest first."""
    query = select_record(ProductionCheckRow, ProductionCheck)
    ordered = query.order_by(ProductionCheckRow.checked_at, ProductionCheckRow.id)
    return [read(ProductionCheck, row) for row in session.execute(ordered)]
