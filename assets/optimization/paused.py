"""Saying in a run's log how far a search came that was cut off."""

from collections.abc import Iterator
from contextlib import contextmanager

from assets.one_partition import OnePartition
from resources.database.repositories import optimization_runs
from resources.database.session import Database


@contextmanager
def told_when_paused(context: OnePartition, database: Database, run_id: str) -> Iterator[None]:
    """Log why and where the search `run_id` was paused, when that ends the block.

    The traceback that Dagster shows of a terminated run says neither.
    """
    try:
        yield
    except BaseException:
        with database.session(read_only=True) as session:
            record = optimization_runs.find(session, run_id)
        if record is not None and record.status == "paused":
            context.log.warning(f"The search is paused. {record.stop_reason}")
        raise
