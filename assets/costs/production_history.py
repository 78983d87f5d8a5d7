"""All checks of production prompts as Parquet."""

import dagster as dg

from resources.database_resource import DatabaseResource
from resources.storage.metric_tables import write_production_checks
from resources.storage_resource import StorageResource


@dg.asset(
    group_name="costs",
    kinds={"parquet"},
    description="Every fresh evaluation of a production prompt, copied from the database to one Parquet file.",
)
def production_history(database: DatabaseResource, storage: StorageResource) -> dg.MaterializeResult:
    """The whole table; it is one row per task and night."""
    with database.connect() as connected:
        written = write_production_checks(connected, storage.path())
    return dg.MaterializeResult(
        metadata={"rows": written.rows, "path": dg.MetadataValue.path(str(written.path))},
        data_version=dg.DataVersion(written.content_id),
    )
