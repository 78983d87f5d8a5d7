"""The ledger's days as Parquet."""

from datetime import date

import dagster as dg

from domain.identity import content_id
from domain.pricing import nano_to_usd
from resources.database_resource import DatabaseResource
from resources.storage.call_log import CallLogDay, write_day
from resources.storage.call_log_summary import SpendingLine
from resources.storage_resource import StorageResource

CALL_LOG_START = "2026-01-01"

# The offset makes today a partition: a day can be looked at while it lasts, and is written again once it is over.
call_log_days = dg.DailyPartitionsDefinition(start_date=CALL_LOG_START, timezone="UTC", end_offset=1)


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
    context: dg.AssetExecutionContext, database: DatabaseResource, storage: StorageResource
) -> dg.MaterializeResult:
    """Both files of each day of the run."""
    written: list[str] = []
    with database.connect() as connected:
        for key in context.partition_keys:
            day = write_day(connected, storage.path(), date.fromisoformat(key))
            context.add_asset_metadata(day_metadata(day), partition_key=key)
            written.append(day.content_id)
    return dg.MaterializeResult(data_version=dg.DataVersion(content_id(written)))


def day_metadata(day: CallLogDay) -> dict[str, dg.MetadataValue]:
    """What a person looks for on a day's materialization; what the day cannot say is left out."""
    summary = day.summary
    optional = {
        "cache_hit_rate": summary.cache_hit_rate,
        "latency_p50_s": summary.latency_p50_s,
        "latency_p95_s": summary.latency_p95_s,
    }
    return {
        "calls": dg.MetadataValue.int(day.calls.rows),
        "attempts": dg.MetadataValue.int(day.attempts.rows),
        "dollars": _dollars(summary.cost_nano_usd),
        "ambiguous_dollars": _dollars(summary.ambiguous_nano_usd),
        **{name: dg.MetadataValue.float(value) for name, value in optional.items() if value is not None},
        "spending": dg.MetadataValue.md(_spending_table(summary.spending)),
        "calls_path": dg.MetadataValue.path(str(day.calls.path)),
        "attempts_path": dg.MetadataValue.path(str(day.attempts.path)),
    }


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
