"""What the backfill API gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from domain.optimization_plan import Range
from domain.pricing import nano_to_usd
from resources.evaluation.call_plan import NOTHING

Way = Literal["daemon", "in_process"]
State = Literal["running", "interrupted", "canceling", "canceled", "succeeded", "failed"]
OVER: frozenset[State] = frozenset({"canceled", "succeeded", "failed"})


@dataclass(frozen=True, slots=True)
class AssetPlan:
    """What would be made of one asset.

    Attributes:
        to_run: partitions to make, in the order of their set; `reasons` says how many for which reason.
        fresh: selected partitions that need nothing: made by this code from what there is now.
        left_out: selected partitions that cannot be made, with the reason.
        runs: how many runs they take.
        calls, cost: LM calls and nano-USD, as expected and at most; None where a model has no price.
        estimated_from: how many partitions the figures were worked out for; the others count like their mean.
    """

    asset: str
    to_run: tuple[str, ...]
    fresh: tuple[str, ...]
    left_out: dict[str, str]
    reasons: dict[str, int]
    runs: int
    calls: Range = NOTHING
    cost: Range | None = NOTHING
    estimated_from: int = 0

    def values(self) -> dict[str, Any]:
        """For JSON, money in USD."""
        return {
            "asset": self.asset,
            "to_run": list(self.to_run),
            "fresh": list(self.fresh),
            "left_out": self.left_out,
            "reasons": self.reasons,
            "runs": self.runs,
            "calls": _values(self.calls),
            "usd": _dollars(self.cost),
            "estimated_from_partitions": self.estimated_from,
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """What a backfill of these assets and partitions would do now.

    Attributes:
        partition_set: `tasks` or `days`.
        partitions: all that were selected.
        new_partitions: those of them that Dagster does not know yet; launching adds them.
        problems: task files and dataset files that cannot be read, so that their tasks are not in the plan.
    """

    partition_set: str
    partitions: tuple[str, ...]
    assets: tuple[AssetPlan, ...]
    new_partitions: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def to_run(self) -> int:
        """Assets x partitions to make."""
        return sum(len(one.to_run) for one in self.assets)

    @property
    def runs(self) -> int:
        """Runs of all assets."""
        return sum(one.runs for one in self.assets)

    @property
    def calls(self) -> Range:
        """LM calls of all assets."""
        return sum((one.calls for one in self.assets), Range())

    @property
    def cost(self) -> Range | None:
        """Nano-USD of all assets; None where a model has no price."""
        known = [one.cost for one in self.assets if one.cost is not None]
        return sum(known, Range()) if len(known) == len(self.assets) else None

    def values(self) -> dict[str, Any]:
        """For JSON, money in USD."""
        return {
            "partition_set": self.partition_set,
            "partitions": len(self.partitions),
            "to_run": self.to_run,
            "runs": self.runs,
            "calls": _values(self.calls),
            "usd": _dollars(self.cost),
            "assets": [one.values() for one in self.assets],
            "new_partitions": list(self.new_partitions),
            "problems": list(self.problems),
        }


@dataclass(frozen=True, slots=True)
class Backfill:
    """A backfill that was launched, whoever works on it.

    Attributes:
        key: the caller's; launching it again gives this one.
        id: Dagster's id of it, which follows from the key.
        way: `daemon` (Dagster's daemon launches its runs) or `in_process` (the launching process made them itself).
        targets: partitions to make, by asset, in the order in which assets are made.
    """

    key: str
    id: str
    way: Way
    created_at: datetime
    targets: dict[str, tuple[str, ...]]

    @property
    def total(self) -> int:
        """Assets x partitions."""
        return sum(len(keys) for keys in self.targets.values())

    def values(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "key": self.key,
            "id": self.id,
            "way": self.way,
            "created_at": self.created_at,
            "assets": {asset: len(keys) for asset, keys in self.targets.items()},
        }


@dataclass(frozen=True, slots=True)
class PartitionFailure:
    """A partition of an asset that was not made. `run_id` is None where no run was started for it."""

    asset: str
    partition: str
    reason: str
    run_id: str | None = None

    def values(self) -> dict[str, Any]:
        """For JSON."""
        return {"asset": self.asset, "partition": self.partition, "reason": self.reason, "run_id": self.run_id}


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run of a backfill; `state` is Dagster's word."""

    run_id: str
    state: str
    assets: tuple[str, ...]
    partitions: int


@dataclass(frozen=True, slots=True)
class Status:
    """How far a backfill is.

    Attributes:
        state: `interrupted` is an in-process one whose process is gone: launch its key again and it goes on.
        made: partitions made, by asset.
        error: what keeps Dagster's daemon from going on, if anything.
    """

    backfill: Backfill
    state: State
    made: dict[str, tuple[str, ...]]
    failed: tuple[PartitionFailure, ...]
    runs: tuple[RunSummary, ...] = field(default=())
    error: str | None = None

    @property
    def done(self) -> int:
        """Assets x partitions that were made."""
        return sum(len(keys) for keys in self.made.values())

    @property
    def waiting(self) -> int:
        """Those neither made nor failed."""
        return self.backfill.total - self.done - len(self.failed)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in OVER

    def values(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.backfill.values(),
            "state": self.state,
            "total": self.backfill.total,
            "done": self.done,
            "waiting": self.waiting,
            "failed": [one.values() for one in self.failed],
            "runs": [{"run_id": run.run_id, "state": run.state, "partitions": run.partitions} for run in self.runs],
            "error": self.error,
        }


def _values(figures: Range) -> dict[str, int]:
    return {"expected": figures.expected, "at_most": figures.at_most}


def _dollars(cost: Range | None) -> dict[str, Any] | None:
    if cost is None:
        return None
    return {"expected": nano_to_usd(cost.expected), "at_most": nano_to_usd(cost.at_most)}
