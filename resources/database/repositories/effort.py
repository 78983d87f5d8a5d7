"""What one optimization run took: calls, tokens, money, over all the processes it needed."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Integer, cast, func, select
from sqlalchemy.orm import Session

from resources.database.tables import AttemptRow, CallRow


@dataclass(frozen=True, slots=True)
class RunEffort:
    """Sums over the calls charged to a run; `cost_nano_usd` includes ambiguous attempts."""

    calls: int
    cached: int
    input_tokens: int
    output_tokens: int
    cost_nano_usd: int


def run_effort(session: Session, run_id: str) -> RunEffort:
    """The effort of the optimization run `run_id`; zeros where it made no call."""
    calls = session.execute(
        select(func.count(), func.sum(cast(CallRow.cached, Integer))).where(CallRow.run_id == run_id)
    ).one()
    money = session.execute(
        select(
            func.sum(AttemptRow.input_tokens), func.sum(AttemptRow.output_tokens), func.sum(AttemptRow.cost_nano_usd)
        )
        .join_from(CallRow, AttemptRow, AttemptRow.call_id == CallRow.call_id)
        .where(CallRow.run_id == run_id)
    ).one()
    return RunEffort(calls[0], *(int(value or 0) for value in (calls[1], *money)))
