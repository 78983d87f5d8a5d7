"""Ending a batch's work early without breaking off what is paid for: rows under way are answered, no new ones begin."""

from __future__ import annotations

from dataclasses import dataclass

from domain.batch.states import PauseKind
from domain.errors import PromptoryError


@dataclass(frozen=True, slots=True)
class StopReason:
    """Why work on a batch ends before the batch does. `kind` None: it is cancelled for good."""

    kind: PauseKind | None
    text: str
    error: PromptoryError | None = None


class Stop:
    """Asked before every row. The first reason stands."""

    def __init__(self) -> None:
        self.reason: StopReason | None = None

    @property
    def requested(self) -> bool:
        """Whether no further row is to be taken up."""
        return self.reason is not None

    def pause(self, kind: PauseKind, text: str) -> None:
        """Stop, to go on later."""
        self.reason = self.reason or StopReason(kind, text)

    def cancel(self, text: str) -> None:
        """Stop for good."""
        self.reason = self.reason or StopReason(None, text)

    def fail(self, error: PromptoryError) -> None:
        """Stop because nothing can be done now; the error is raised once the rows under way are answered."""
        self.reason = self.reason or StopReason(PauseKind.INTERRUPTED, error.problem, error)
