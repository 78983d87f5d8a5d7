"""Messages about failed runs: one run, or a burst of them in one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from resources.alerts.alert import Alert

SINGLY = 3
"""Up to so many runs at a time are told one by one."""

NAMED = 5


@dataclass(frozen=True, slots=True)
class FailedRun:
    """A run that failed. `reason` is what may be shown of its error."""

    run_id: str
    job: str
    partition: str | None
    step: str | None
    reason: str
    failed_at: datetime

    @property
    def name(self) -> str:
        """For people."""
        return self.job if self.partition is None else f"{self.job} of {self.partition}"


def one_failure(run: FailedRun, ui_url: str | None) -> Alert:
    """The message about one run."""
    lines = [f"step {run.step}: {run.reason}" if run.step else run.reason, f"run {run.run_id}"]
    return Alert(
        kind="run_failure",
        severity="error",
        title=f"{run.name} failed",
        at=run.failed_at,
        lines=tuple(lines),
        facts={"run_id": run.run_id, "job": run.job, "partition": run.partition, "step": run.step},
        link=f"{ui_url.rstrip('/')}/runs/{run.run_id}" if ui_url else None,
    )


def burst(runs: Sequence[FailedRun], ui_url: str | None) -> Alert:
    """One message about many runs: how many of each job, the reasons that are most frequent, the first few by id."""
    by_job = Counter(run.job for run in runs)
    reasons = Counter(run.reason for run in runs)
    lines = [f"{count} x {job}" for job, count in by_job.most_common(NAMED)]
    lines += [f"{count} x {reason}" for reason, count in reasons.most_common(NAMED)]
    more = f" and {len(runs) - NAMED} more" if len(runs) > NAMED else ""
    lines.append("runs " + ", ".join(run.run_id for run in runs[:NAMED]) + more)
    return Alert(
        kind="run_failure",
        severity="error",
        title=f"{len(runs)} runs failed",
        at=max(run.failed_at for run in runs),
        lines=tuple(lines),
        facts={"runs": len(runs), "by_job": dict(by_job), "run_ids": [run.run_id for run in runs[:100]]},
        link=f"{ui_url.rstrip('/')}/runs" if ui_url else None,
    )
