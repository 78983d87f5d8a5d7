"""Job: drop what nobody reads again."""

from datetime import UTC, datetime, timedelta

import dagster as dg
from pydantic import Field

from resources.database.repositories import alert_deliveries, alerts, retention
from resources.database_resource import DatabaseResource

ALERTS_KEPT = timedelta(days=400)
RUNS_AT_ONCE = 200
ENDED_BADLY = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


class RetentionConfig(dg.Config):
    """What is dropped, and when; nothing without a number of days."""

    journal_keep_days: int | None = Field(
        default=None, ge=7, description="Journals of optimization runs that finished so long ago."
    )
    dagster_runs_keep_days: int | None = Field(
        default=None, ge=7, description="Dagster runs that failed or were cancelled so long ago and made nothing."
    )


@dg.op(
    description="Drop old journals of finished optimization runs, old failed Dagster runs and what alerts were sent."
)
def drop_old(context: dg.OpExecutionContext, config: RetentionConfig, database: DatabaseResource) -> None:
    """Each in transactions of its own; killed, the next run goes on."""
    now = datetime.now(UTC)
    answers = 0
    with database.connect() as opened:
        if config.journal_keep_days is not None:
            before = now - timedelta(days=config.journal_keep_days)
            with opened.session(read_only=True) as session:
                runs = retention.finished_runs(session, before)
            for run_id in runs:
                with opened.session() as session:
                    answers += retention.drop_journal(session, run_id)
        with opened.session() as session:
            told = alerts.forget(session, now - ALERTS_KEPT)
            alert_deliveries.forget(session, now - ALERTS_KEPT)
    dropped = _drop_runs(context.instance, now, config.dagster_runs_keep_days)
    context.add_output_metadata({"journal_answers": answers, "alerts": told, "dagster_runs": dropped})


def _drop_runs(instance: dg.DagsterInstance, now: datetime, keep_days: int | None) -> int:
    """Runs that made something stay, whatever became of them: their events are what assets are known by.

    A run of many partitions fails where one of them does, and holds what it made of the others.
    """
    if keep_days is None:
        return 0
    old = dg.RunsFilter(statuses=ENDED_BADLY, created_before=now - timedelta(days=keep_days))
    dropped = 0
    cursor: str | None = None
    while ids := instance.get_run_ids(old, cursor=cursor, limit=RUNS_AT_ONCE):
        # Looked up before the page goes: the next one begins after a run that is still there.
        unmade = [run_id for run_id in ids if not _made_something(instance, run_id)]
        kept = [run_id for run_id in ids if run_id not in set(unmade)]
        for run_id in unmade:
            instance.delete_run(run_id)
        dropped += len(unmade)
        cursor = kept[-1] if kept else cursor
    return dropped


def _made_something(instance: dg.DagsterInstance, run_id: str) -> bool:
    made = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION, limit=1)
    return bool(made.records)


@dg.job(name="database_retention", description="Drop old journals, old failed Dagster runs and old notes of alerts.")
def database_retention() -> None:
    """The one op."""
    drop_old()
