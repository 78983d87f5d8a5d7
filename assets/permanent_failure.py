"""The tags of a run that must not be tried again: Dagster's run-retry daemon looks at them, not at `allow_retries`."""

from __future__ import annotations

import dagster as dg

PERMANENT_FAILURE_TAG = "promptory/permanent_failure"
NO_RETRY_TAG = "dagster/max_retries"


def stamp(instance: dg.DagsterInstance, run_id: str) -> None:
    """Say that the run is not worth a retry."""
    instance.add_run_tags(run_id, {PERMANENT_FAILURE_TAG: "true", NO_RETRY_TAG: "0"})
