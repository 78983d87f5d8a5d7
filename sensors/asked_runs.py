"""What became of the runs that a sensor asked for by a key of its own: how it asks for the next one, and when."""

from collections.abc import Iterable
from datetime import datetime

import dagster as dg

from assets.permanent_failure import PERMANENT_FAILURE_TAG
from sensors.asking_again import Failures

ASKED_TAG = "promptory/asked_for"


class AskedRuns:
    """The runs for some keys, as they are now; each carries its key as a tag.

    Args:
        keys: the keys to look for.
    """

    def __init__(self, instance: dg.DagsterInstance, keys: Iterable[str], now: datetime) -> None:
        self._now = now
        self._failures: dict[str, Failures] = {}
        self._settled: set[str] = set()
        self._at_rest: set[str] = set()
        wanted = sorted(keys)
        records = instance.get_run_records(dg.RunsFilter(tags={ASKED_TAG: wanted})) if wanted else ()
        for record in records:
            self._add(record)

    def _add(self, record: dg.RunRecord) -> None:
        run = record.dagster_run
        key = run.tags[ASKED_TAG]
        if not run.is_finished or PERMANENT_FAILURE_TAG in run.tags:
            self._at_rest.add(key)
        elif run.status == dg.DagsterRunStatus.FAILURE:
            self._failures.setdefault(key, Failures()).add(record, self._now)
        else:
            self._settled.add(key)

    def is_settled(self, key: str) -> bool:
        """Whether a run for it succeeded, or was cancelled by somebody: nobody needs to ask again."""
        return key in self._settled

    def first(self, key: str) -> str | None:
        """The run key to ask with where no run for it was there; None where one was."""
        return None if key in self._failures or key in self._settled or key in self._at_rest else key

    def again(self, key: str) -> str | None:
        """The run key to ask with after failures, the last of them a while ago; None where there is nothing to ask.

        What a person must mend is not asked for again.
        """
        failures = self._failures.get(key)
        if failures is None or key in self._settled or key in self._at_rest or not failures.are_over(self._now):
            return None
        return f"{key}:{failures.asked}"
