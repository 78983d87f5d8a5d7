"""What attempts reserved against what they cost: how much of a budget waits for nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, case, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from resources.database.repositories.ledger import finished
from resources.database.tables import AttemptRow


@dataclass(frozen=True, slots=True)
class TokenReserve:
    """Input or output tokens of the attempts whose reserve was kept in tokens.

    Attributes:
        worst_under: most tokens that one attempt was billed above its reserve; 0, or a bound is wrong.
    """

    reserved: int
    billed: int
    worst_under: int

    @property
    def use(self) -> float | None:
        """The billed tokens as a share of the reserved ones."""
        return self.billed / self.reserved if self.reserved else None


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
    input_reserve: TokenReserve
    output_reserve: TokenReserve

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
            *_token_sums(AttemptRow.reserved_input_tokens, AttemptRow.input_tokens),
            *_token_sums(AttemptRow.reserved_output_tokens, AttemptRow.output_tokens),
        )
        .where(AttemptRow.charge.in_(("settled", "overrun")), *finished(since, until))
        .group_by(AttemptRow.model)
        .order_by(reserved.desc(), AttemptRow.model)
    )
    return [_line(*row) for row in rows]


def _token_sums(
    reserved: InstrumentedAttribute[int | None], billed: InstrumentedAttribute[int]
) -> tuple[ColumnElement[Any], ...]:
    """Reserved, billed, and the worst difference, over the attempts that kept their reserve."""
    billed_of_those = case((reserved.is_not(None), billed), else_=0)
    return func.sum(reserved), func.sum(billed_of_those), func.max(billed - reserved)


def _line(model: str, *values: float | None) -> ReserveLine:
    attempts, tokens_in, tokens_out, reserved, cost, largest, overruns = (int(value or 0) for value in values[:7])
    lowest, highest = (None if value is None else float(value) for value in values[7:9])
    return ReserveLine(
        model=model,
        attempts=attempts,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        reserved_nano_usd=reserved,
        cost_nano_usd=cost,
        largest_reserve_nano_usd=largest,
        overruns=overruns,
        lowest_use=lowest,
        highest_use=highest,
        input_reserve=_token_reserve(*values[9:12]),
        output_reserve=_token_reserve(*values[12:]),
    )


def _token_reserve(reserved: float | None, billed: float | None, worst: float | None) -> TokenReserve:
    return TokenReserve(int(reserved or 0), int(billed or 0), max(int(worst or 0), 0))
