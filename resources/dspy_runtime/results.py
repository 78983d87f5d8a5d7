"""What an optimization run yields."""

from __future__ import annotations

from dataclasses import dataclass

from domain.prompt import PromptVersion
from domain.statistics.intervals import Interval


@dataclass(frozen=True, slots=True)
class CandidateResult:
    """One prompt version the run tried.

    Attributes:
        dev_score: mean score on the run's dev rows, 0 to 1; None when the optimizer scores nothing.
        interval: the same with its 95 % interval.
        dev_cost_nano_usd: what answering the dev rows cost, when the answers were made.
        kind: what differs from the prompt the run started from: `baseline`, `instructions`, `demonstrations` or
            `instructions+demonstrations`.
    """

    prompt: PromptVersion
    dev_score: float | None
    kind: str
    interval: Interval | None = None
    dev_cost_nano_usd: int = 0


@dataclass(frozen=True, slots=True)
class OptimizationResult:
    """The outcome of a run that ended, or was cut short by its own cap.

    Attributes:
        best: the winner on dev; the prompt the run started from when nothing beats it.
        best_dev_score: its mean score, 0 to 1; None when it was not scored.
        baseline_dev_score: of the prompt the run started from, on the same rows.
        candidates: fully scored ones, in the order in which they were finished.
        references: random-demonstration versions to compare the winner with.
        stop_reason: `run_budget` when the run's own cap cut it short, else None.
        calls: LM answers used, those of the journal included.
        dev_rows: how many dev rows every candidate was scored on.
    """

    best: PromptVersion
    best_dev_score: float | None
    baseline_dev_score: float | None
    candidates: tuple[CandidateResult, ...]
    references: tuple[PromptVersion, ...]
    stop_reason: str | None
    calls: int
    dev_rows: int


def candidate_kind(base: PromptVersion, prompt: PromptVersion) -> str:
    """What differs between the two; see `CandidateResult.kind`."""
    pairs = list(zip(base.steps, prompt.steps, strict=True))
    parts = (
        ("instructions", any(old.system_prompt != new.system_prompt for old, new in pairs)),
        ("demonstrations", any(old.demonstrations != new.demonstrations for old, new in pairs)),
    )
    return "+".join(name for name, differs in parts if differs) or "baseline"
