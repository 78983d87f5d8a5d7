"""What one row's asking came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.batch.states import RowStatus
from domain.contracts import OutputContract
from domain.errors import OutputParseError
from domain.parsing import parse_output


@dataclass(frozen=True, slots=True)
class RowOutcome:
    """A row's answer or the lack of it, with what it cost.

    Attributes:
        reason: why it is not `ok`; None where it is.
        text: the last step's answer, verbatim; None where there is none.
        value: what the answer stands for under its contract: a label, a number, an object, or text.
        call_id: the (last step's) call; `call_ids` those of all steps, in order.
        cost_nano_usd: charged for all steps of this asking, ambiguous attempts included; 0 for a cache hit.
    """

    status: RowStatus
    reason: str | None = None
    text: str | None = None
    value: Any = None
    call_id: str | None = None
    call_ids: tuple[str, ...] = ()
    model: str | None = None
    cost_nano_usd: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    latency_s: float = 0.0
    cached: bool = False


def judge_answer(contract: OutputContract, text: str) -> tuple[RowStatus, str | None, Any]:
    """Status, reason and value of an answer under the last step's contract."""
    try:
        return RowStatus.OK, None, parse_output(contract, text)
    except OutputParseError as error:
        return RowStatus.INVALID, error.problem, None
