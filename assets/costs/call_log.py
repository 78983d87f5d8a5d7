"""The ledger's days as Parquet."""

from datetime import UTC, date, datetime

import dagster as dg
from pydantic import Field

from domain.identity import content_id
from domain.pricing import nano_to_usd
from resources.database.repositories import ledger_days
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.storage.call_log import CallLogDay, collect_day, write_day_index
from resources.storage.call_log_summary import DaySummary, SpendingLine
from resources.storage_resource import StorageResource

CALL_LOG_START = "2026-01-01"

# The offset makes today a partition: a day can be looked at while it lasts, and is written again once it is over.
call_log_days = dg.DailyPartitionsDefinition(start_date=CALL_LOG_START, timezone="UTC", end_offset=1)


class CallLogConfig(dg.Config):
    """How much of the run's days is written."""

    changed_only: bool = Field(
        default=False,
        description="Leave days alone that were copied before and to which the ledger has added nothing since.",
    )


@dg.asset(
    group_name="costs",
    kinds={"parquet"},
    partitions_def=call_log_days,
    backfill_policy=dg.BackfillPolicy.single_run(),
    description=(
        "The calls and attempts that finished on one UTC day, copied from the ledger to one Parquet file each. "
        "Writing a day again replaces it; many days fit in one run."
    ),
)
def call_log(
    context: dg.AssetExecutionContext, config: CallLogConfig, database: DatabaseResource, storage: StorageResource
) -> dg.MaterializeResult:
    """Both files of each day of the run, and the list of all days."""
    contents: list[str] = []
    with database.connect() as connected:
        unchanged = _unchanged(connected) if config.changed_only else {}
        for key in context.partition_keys:
            day = date.fromisoformat(key)
            if day in unchanged:
                contents.append(unchanged[day])
                continue
            written = collect_day(connected, storage.path(), day, datetime.now(UTC))
            context.add_asset_metadata(day_metadata(written), partition_key=key)
            contents.append(written.content_id)
        write_day_index(connected, storage.path())
    return dg.MaterializeResult(data_version=dg.DataVersion(content_id(contents)))


def _unchanged(database: Database) -> dict[date, str]:
    """Content ids of the copied days that nothing was added to."""
    with database.session(read_only=True) as session:
        changed = set(ledger_days.changed_days(session))
        return {one.day: one.content_id for one in ledger_days.exported_days(session) if one.day not in changed}


def day_metadata(day: CallLogDay) -> dict[str, dg.MetadataValue]:
    """What a person looks for on a day's materialization; what the day cannot say is left out."""
    told = {
        "calls": dg.MetadataValue.int(day.calls.rows),
        "attempts": dg.MetadataValue.int(day.attempts.rows),
        "dollars": _dollars(day.cost_nano_usd),
        "ambiguous_dollars": _dollars(day.ambiguous_nano_usd),
        "calls_path": dg.MetadataValue.path(str(day.calls.path)),
        "attempts_path": dg.MetadataValue.path(str(day.attempts.path)),
    }
    return told | (_summary_metadata(day.summary) if day.summary else {})


def _summary_metadata(summary: DaySummary) -> dict[str, dg.MetadataValue]:
    optional = {
        "cache_hit_rate": summary.cache_hit_rate,
        "latency_p50_s": summary.latency_p50_s,
        "latency_p95_s": summary.latency_p95_s,
    }
    told = {name: dg.MetadataValue.float(value) for name, value in optional.items() if value is not None}
    return {**told, "spending": dg.MetadataValue.md(_spending_table(summary.spending))}


def _dollars(nano_usd: int) -> dg.MetadataValue:
    return dg.MetadataValue.float(float(nano_to_usd(nano_usd)))


def _spending_table(lines: tuple[SpendingLine, ...]) -> str:
    if not lines:
        return "No calls."
    rows = [
        f"| {line.task or '-'} | {line.purpose} | {line.model} | {line.calls} | {nano_to_usd(line.cost_nano_usd):.6f} |"
        for line in lines
    ]
    return "\n".join(["| task | purpose | model | calls | USD |", "|---|---|---|---:|---:|", *rows])
