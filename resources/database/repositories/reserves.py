"""What attempts reserved against what they cost: how much of a budget waits for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from resources.database.repositories.ledger import finished
from resources.database.tables import AttemptRow


@dataclass(frozen=True, slots=True)
class ReserveLine:
    """The answered attempts of one model whose bill is known; money in nano-USD.

    Attributes:
        overruns: attempts billed above their reserve.
        largest_reserve_nano_usd: of one attempt.
        lowest_use, highest_use: an attempt's cost as a share of its reserve; None where nothing was reserved.
    """

    model: str
    attempts: int
    input_tokens: int
    output_tokens: int
    reserved_nano_usd: int
    cost_nano_usd: int
    largest_reserve_nano_usd: int
    overruns: int
    lowest_use: float | None
    highest_use: float | None

    @property
    def use(self) -> float | None:
        """The sum of costs as a share of the sum of reserves."""
        return self.cost_nano_usd / self.reserved_nano_usd if self.reserved_nano_usd else None


def reserve_lines(
    session: Session, *, since: datetime | None = None, until: datetime | None = None
) -> list[ReserveLine]:
    """One line per model over the attempts that finished in [since, until); the largest sum of reserves first."""
    reserved = func.sum(AttemptRow.reserved_nano_usd)
    use = AttemptRow.cost_nano_usd * 1.0 / func.nullif(AttemptRow.reserved_nano_usd, 0)
    rows = session.execute(
        select(
            AttemptRow.model,
            func.count(),
            func.sum(AttemptRow.input_tokens),
            func.sum(AttemptRow.output_tokens),
            reserved,
            func.sum(AttemptRow.cost_nano_usd),
            func.max(AttemptRow.reserved_nano_usd),
            func.sum(case((AttemptRow.charge == "overrun", 1), else_=0)),
            func.min(use),
            func.max(use),
        )
        .where(AttemptRow.charge.in_(("settled", "overrun")), *finished(since, until))
        .group_by(AttemptRow.model)
        .order_by(reserved.desc(), AttemptRow.model)
    )
    return [_line(*row) for row in rows]


def _line(model: str, *values: float | None) -> ReserveLine:
    *whole, lowest, highest = values
    counts = [int(value or 0) for value in whole]
    uses = [None if value is None else float(value) for value in (lowest, highest)]
    return ReserveLine(model, *counts, *uses)  # pyright: ignore[reportArgumentType] - counts, then two shares
