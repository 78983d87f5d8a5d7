"""Handles: the small values assets pass to each other; what they stand for lives in database and storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from domain.dataset import DatasetVersion


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


Model = TypeVar("Model", bound=BaseModel)


class Handles(Generic[Model]):
    """The handles that an upstream asset left, one per partition, read when they are asked for.

    Args:
        read: a partition's handle as JSON; None where the asset was never materialized for it.
        refuse: the error of a partition without one.
    """

    model: ClassVar[type[BaseModel]]

    def __init__(self, read: Callable[[str], bytes | None], refuse: Callable[[str], Exception]) -> None:
        self._read = read
        self._refuse = refuse

    def find(self, partition: str) -> Model | None:
        """The partition's handle, if there is one."""
        payload = self._read(partition)
        return None if payload is None else self.model.model_validate_json(payload)  # pyright: ignore[reportReturnType]

    def of(self, partition: str) -> Model:
        """The partition's handle.

        Raises:
            Exception: what `refuse` makes, where there is none.
        """
        found = self.find(partition)
        if found is None:
            raise self._refuse(partition)
        return found


class DatasetVersions(Handles[DatasetVersion]):
    """What `dataset` left."""

    model = DatasetVersion


class PromptHandles(Handles[PromptHandle]):
    """What `prompt_version` left."""

    model = PromptHandle


class OptimizationHandles(Handles[OptimizationHandle]):
    """What `optimization_run` left."""

    model = OptimizationHandle


class CompressionHandles(Handles[CompressionHandle]):
    """What `compression` left."""

    model = CompressionHandle


class DecisionHandles(Handles[DecisionHandle]):
    """What `evaluation` left."""

    model = DecisionHandle
