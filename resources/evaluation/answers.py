"""An answer to one row, and where answers are kept so that none is paid for twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Answer:
    """What a prompt version answered to one input.

    Attributes:
        input_id: SHA-256 of the inputs.
        call_id: the (last step's) call that made it.
        call_ids: the calls of all steps, in their order.
        broken_step: the step before the last whose answer broke its contract, so that the row ended there.
        cost_nano_usd: of all steps, as charged when the answer was made, even if this run got it from a cache.
        latency_s: of all steps, as the provider took when it was made.
    """

    input_id: str
    text: str
    call_id: str
    model: str
    cost_nano_usd: int
    latency_s: float
    input_tokens: int
    output_tokens: int
    call_ids: tuple[str, ...]
    broken_step: str | None = None


class AnswerStore(Protocol):
    """Keeps answers by (prompt version, input, sample)."""

    def get_many(self, prompt_version_id: str, input_ids: Sequence[str], sample: int) -> dict[str, Answer]:
        """Those of the answers that exist, by input id."""
        ...

    def put_many(self, prompt_version_id: str, sample: int, answers: Iterable[Answer]) -> None:
        """Keep answers durably; one that exists is left alone."""
        ...
