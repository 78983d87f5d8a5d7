"""What a run started here did. Free of Dagster, so that whoever only shows it starts fast."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from domain.errors import PromptoryError


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """One asset check's result."""

    asset: str
    name: str
    passed: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class RunReport:
    """A run that succeeded.

    Attributes:
        seconds: wall time of the run.
        materialized: assets, in the order they were made.
        metadata: per asset what it recorded, texts and numbers only.
    """

    run_id: str
    job: str
    seconds: float
    materialized: tuple[str, ...]
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    checks: tuple[CheckOutcome, ...] = ()


class RunFailedError(PromptoryError):
    """A run failed; `run_id` is its id in Dagster's UI, `interrupted` says that a signal ended it."""

    def __init__(
        self,
        problem: str,
        *,
        run_id: str,
        file: str | None = None,
        row: int | None = None,
        field: str | None = None,
        mend: str | None = None,
        interrupted: bool = False,
    ) -> None:
        self.run_id = run_id
        self.interrupted = interrupted
        super().__init__(problem, file=file, row=row, field=field, mend=mend)

    def as_dict(self) -> dict[str, str | int | None]:
        """The parts, with the run's id."""
        return {**super().as_dict(), "run_id": self.run_id}
