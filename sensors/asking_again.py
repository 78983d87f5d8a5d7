"""When a sensor asks again for what failed: Dagster asks once per run key, whatever became of the run."""

from dataclasses import dataclass
from datetime import datetime

import dagster as dg

AGAIN_AFTER_S = 600.0
"""Dagster starts runs that died again by itself, a few times, within minutes. After that they are asked for anew, after
pauses that double up to `AGAIN_AT_LATEST_S`."""
AGAIN_AT_LATEST_S = 86_400.0

_STARTED_AGAIN_TAG = "dagster/root_run_id"


@dataclass(slots=True)
class Failures:
    """Failed runs for the same thing.

    Attributes:
        asked: how often they were asked for; what Dagster started again by itself is not counted.
    """

    asked: int = 0
    last_end: float = 0.0

    def add(self, record: dg.RunRecord, now: datetime) -> None:
        """Note one of them; one without an end has just failed."""
        self.asked += _STARTED_AGAIN_TAG not in record.dagster_run.tags
        self.last_end = max(self.last_end, record.end_time or now.timestamp())

    def are_over(self, now: datetime) -> bool:
        """Whether the last of them is so long ago that it is worth another try."""
        return now.timestamp() - self.last_end >= pause_s(self.asked)


def pause_s(asked: int) -> float:
    """Seconds to wait after the last failure, having asked so often."""
    return min(AGAIN_AFTER_S * 2.0 ** min(max(asked - 1, 0), 20), AGAIN_AT_LATEST_S)
