"""What a materialization was made from, in the tags in which Dagster records it.

Dagster writes these tags itself for a run of one partition. For a run of many it has only one data version for all.
"""

from __future__ import annotations

from hashlib import sha256

import dagster as dg

CODE_VERSION = "dagster/code_version"
DATA_VERSION = "dagster/data_version"
IS_USER_PROVIDED = "dagster/data_version_is_user_provided"
INPUT_DATA_VERSION = "dagster/input_data_version"
INPUT_EVENT = "dagster/input_event_pointer"
# As Dagster writes them where an input was never materialized.
NO_DATA_VERSION = "INITIAL"
NO_EVENT = "NULL"


def as_input(data_version: str) -> str:
    """What Dagster records of a partitioned input: the hash of its partitions' versions, which here is always one."""
    return sha256(data_version.encode()).hexdigest()


class Provenance:
    """The tags of one asset's materializations."""

    def __init__(self, context: dg.AssetExecutionContext) -> None:
        self._instance = context.instance
        self._run_id = context.run.run_id
        key = context.asset_key
        self._parents = sorted(dep.asset_key for dep in context.assets_def.specs_by_key[key].deps)
        self._code_version = context.assets_def.specs_by_key[key].code_version

    def tags(self, partition: str) -> dict[str, str]:
        """Code version and inputs, as they are now: to be asked before the partition is made."""
        tags = {CODE_VERSION: self._code_version or self._run_id}
        for parent in self._parents:
            newest = dg.AssetRecordsFilter(asset_key=parent, asset_partitions=[partition])
            found = self._instance.fetch_materializations(newest, limit=1).records
            materialization = found[0].asset_materialization if found else None
            version = ((materialization.tags or {}) if materialization else {}).get(DATA_VERSION)
            name = parent.to_user_string()
            tags[f"{INPUT_DATA_VERSION}/{name}"] = NO_DATA_VERSION if version is None else as_input(version)
            tags[f"{INPUT_EVENT}/{name}"] = str(found[0].storage_id) if found else NO_EVENT
        return tags

    def made(self, version: dg.DataVersion | None) -> dict[str, str]:
        """The data version that the asset gave.

        Raises:
            ValueError: it gave none: every asset with partitions here names its content.
        """
        if version is None:
            raise ValueError("an output without a data version")
        return {DATA_VERSION: version.value, IS_USER_PROVIDED: "true"}
