"""Handles: the small values assets pass to each other; what they stand for lives in database and storage."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class _Handle(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PromptHandle(_Handle):
    """The authored prompt version of a task."""

    task: str
    prompt_version_id: str
    version: int


class OptimizationHandle(_Handle):
    """A finished optimization run and the prompt version it ended in.

    Attributes:
        dataset_version_id: what it was trained on.
        reference_ids: random-demonstration prompts, the second baseline.
    """

    task: str
    run_id: str
    parent_id: str
    dataset_version_id: str
    result_id: str
    reference_ids: tuple[str, ...] = ()


class CompressionHandle(_Handle):
    """A finished compression.

    Attributes:
        production_id: what it started from.
        result_id: the cheaper version it chose; `production_id` where there was none.
        decision_id: the gate's; None where nothing was put to the gate.
    """

    task: str
    run_id: str
    production_id: str
    result_id: str
    decision_id: str | None


class DecisionHandle(_Handle):
    """A recorded gate decision."""

    task: str
    decision_id: str
    verdict: str


class PromotionHandle(_Handle):
    """Where the production alias points."""

    task: str
    production_id: str | None
    decision_id: str


class ExperimentHandle(_Handle):
    """The newest report of a live experiment.

    Attributes:
        state: `running` or `stopped`.
        verdict: what the report says; it has been carried out only where there is a decision.
    """

    experiment: str
    task: str
    state: str
    verdict: str
    decision_id: str | None
    observations_id: str
