"""A started experiment as programs use it: who gets which variant, and who got which when."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime

from domain.experiment.allocation import Allocation, bucket_of
from domain.experiment.layers import is_inside
from domain.experiment.spec import Experiment
from resources.database.repositories.experiments import ExperimentRecord


@dataclass(frozen=True, slots=True)
class AllocationEpoch:
    """The buckets that were in force from `since` on."""

    since: datetime
    allocation: Allocation

    def as_dict(self) -> dict[str, object]:
        """JSON values, as `Started.of` reads them."""
        return {"since": self.since.isoformat(), "allocation": self.allocation.as_list()}


@dataclass(frozen=True, slots=True)
class Started:
    """A started experiment with its buckets over time, oldest first."""

    record: ExperimentRecord
    experiment: Experiment
    epochs: tuple[AllocationEpoch, ...]

    @classmethod
    def of(cls, record: ExperimentRecord) -> Started:
        """The experiment of a stored record.

        Raises:
            pydantic.ValidationError: it was stored by a program with other rules.
        """
        epochs = (
            AllocationEpoch(datetime.fromisoformat(one["since"]), Allocation.from_list(one["allocation"]))
            for one in record.epochs
        )
        return cls(record, record.experiment, tuple(epochs))

    @property
    def is_running(self) -> bool:
        """It deals units now."""
        return self.record.state == "running"

    def takes(self, unit_id: str) -> bool:
        """Whether the unit belongs to its part of the layer.

        Raises:
            InputError: the unit id cannot be used.
        """
        return is_inside(self.experiment.layer, unit_id)

    def dealt(self, unit_id: str, at: datetime | None = None) -> str:
        """The variant that the buckets in force at `at` (None: now) deal to a unit that is new then.

        Raises:
            InputError: the unit id cannot be used.
        """
        epoch = self.epochs[-1] if at is None else self.epochs[self.epoch_at(at)]
        return epoch.allocation.variant_of(self.bucket(unit_id))

    def bucket(self, unit_id: str) -> int:
        """The unit's bucket, which is the same whatever the weights.

        Raises:
            InputError: the unit id cannot be used.
        """
        return bucket_of(f"experiment/{self.experiment.name}", unit_id)

    def epoch_at(self, at: datetime) -> int:
        """Position of the buckets in force at `at`; the first ones for earlier times."""
        return max(0, bisect_right(self.epochs, at, key=lambda epoch: epoch.since) - 1)

    def prompt_version_id(self, variant: str) -> str:
        """The prompt version of a variant, as fixed at the start."""
        return self.record.prompt_version_ids[variant]
