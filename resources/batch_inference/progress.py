"""How far a batch is, while it runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.batch.options import too_many_failed
from domain.batch.outcome import RowOutcome
from domain.batch.pace import Pace
from domain.batch.states import RowStatus
from domain.pricing import nano_to_usd


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """A batch at one moment.

    Attributes:
        finished: rows that have a result or an answer, those of earlier runs included.
        statuses: rows answered by this run, by status; a row asked again counts again.
        cost_nano_usd: of this run.
        seconds_left: None while nothing can be said.
    """

    batch_id: str
    task: str
    rows: int
    finished: int
    statuses: dict[RowStatus, int]
    cost_nano_usd: int
    rows_per_s: float
    seconds_left: float | None

    def sentence(self) -> str:
        """Rate, time left and dollars, for people."""
        left = "" if self.seconds_left is None else f", {duration(self.seconds_left)} left"
        failed = self.statuses.get(RowStatus.FAILED, 0) + self.statuses.get(RowStatus.INVALID, 0)
        trouble = f", {failed:,} without a usable answer" if failed else ""
        return f"{self.rows_per_s:,.0f} rows/s{left}, ${nano_to_usd(self.cost_nano_usd):,.4f}{trouble}"


ProgressListener = Callable[[BatchProgress], None]


@dataclass(slots=True)
class Counting:
    """Counts one run of a batch."""

    batch_id: str
    task: str
    rows: int
    finished: int = 0
    cost_nano_usd: int = 0
    statuses: Counter[RowStatus] = field(default_factory=Counter[RowStatus])
    pace: Pace = field(default_factory=Pace)

    def count(self, outcome: RowOutcome, round_number: int) -> None:
        """A row was answered."""
        self.collect(outcome)
        if round_number == 0:
            self.finished += 1

    def collect(self, outcome: RowOutcome) -> None:
        """A job brought a row's answer, which is among the finished ones once its chunk is loaded."""
        self.statuses[outcome.status] += 1
        self.cost_nano_usd += outcome.cost_nano_usd

    def why_too_many_failed(self, max_failed: float) -> str | None:
        """Why going on would only burn through the file; None where it would not."""
        failed, asked = self.statuses[RowStatus.FAILED], self.statuses.total()
        if not too_many_failed(failed, asked, max_failed):
            return None
        return f"{failed:,} of the last {asked:,} rows got no answer; see their reasons"

    def at(self, now: float) -> BatchProgress:
        """The batch at `now`, monotonic seconds."""
        self.pace.count(now, self.statuses.total())
        return BatchProgress(
            batch_id=self.batch_id,
            task=self.task,
            rows=self.rows,
            finished=self.finished,
            statuses=dict(self.statuses),
            cost_nano_usd=self.cost_nano_usd,
            rows_per_s=self.pace.rows_per_s,
            seconds_left=self.pace.seconds_left(self.rows - self.finished),
        )


def duration(seconds: float) -> str:
    """`3:04` or `1:02:03`."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{left:02d}" if hours else f"{minutes}:{left:02d}"
