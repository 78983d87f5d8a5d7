"""Ending a batch's work early without breaking off what is paid for: rows under way are answered, no new ones begin."""

from __future__ import annotations

from dataclasses import dataclass

from domain.batch.states import BatchState, PauseKind
from domain.errors import PromptoryError


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why work on a batch ends before the batch does. `kind` None: it is cancelled for good."""

    kind: PauseKind | None
    text: str
    error: PromptoryError | None = None

    @property
    def state(self) -> BatchState:
        """Where it leaves the batch."""
        return BatchState.CANCELLED if self.kind is None else BatchState.PAUSED


PAUSE = StopReason(PauseKind.PERSON, "paused by a person")
CANCEL = StopReason(None, "cancelled by a person")


def asked_for(request: str | None) -> StopReason | None:
    """What a person asks of a batch's worker, as `BatchRecord.request` has it; None where nobody asks for anything."""
    return {"pause": PAUSE, "cancel": CANCEL}[request] if request else None


class Stop:
    """Asked before every row. The first reason stands, but a person's request goes before it (`let_go`)."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None

    @property
    def requested(self) -> bool:
        """Whether no further row is to be taken up."""
        return self.reason is not None

    def pause(self, kind: PauseKind, text: str) -> None:
        """Stop, to go on later."""
        self.reason = self.reason or StopReason(kind, text)

    def obey(self, asked: StopReason) -> None:
        """Stop because a person asks for it."""
        self.reason = self.reason or asked

    def fail(self, error: PromptoryError) -> None:
        """Stop because nothing can be done now; the error is raised once the rows under way are answered."""
        self.reason = self.reason or StopReason(PauseKind.INTERRUPTED, error.problem, error)
