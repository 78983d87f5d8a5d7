"""All evaluations as Parquet."""

import dagster as dg

from resources.database_resource import DatabaseResource
from resources.storage.metric_tables import write_evaluations
from resources.storage_resource import StorageResource


@dg.asset(
    group_name="costs",
    kinds={"parquet"},
    description="Every evaluation's summary, copied from the database to one Parquet file, oldest first.",
)
def evaluation_history(database: DatabaseResource, storage: StorageResource) -> dg.MaterializeResult:
    """The whole table; it is one row per evaluation and stays small."""
    with database.connect() as connected:
        written = write_evaluations(connected, storage.path())
    return dg.MaterializeResult(
        metadata={"rows": written.rows, "path": dg.MetadataValue.path(str(written.path))},
        data_version=dg.DataVersion(written.content_id),
    )
