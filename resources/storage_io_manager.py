"""Dagster IO manager for handles: one JSON file per asset and partition."""

from collections.abc import Sequence
from typing import Any

import dagster as dg
from pydantic import BaseModel, Field
from upath import UPath

from resources.storage.atomic import write_atomically
from resources.storage.handles import Handles
from resources.storage.location import path_at

UNPARTITIONED = "all"


def write_handle(root: UPath, asset: Sequence[str], partition: str, handle: BaseModel) -> None:
    """Write the handle of a partition of the asset with these key parts.

    Raises:
        OSError: the storage cannot be written.
    """
    payload = handle.model_dump_json(indent=2).encode()
    write_atomically(_path(root, asset, partition), lambda stream: stream.write(payload))


class HandleIOManager(dg.ConfigurableIOManager):
    """Stores what an asset returns (a pydantic model) and gives it to downstream assets, as `Handles`."""

    root: str = Field(description="Storage root, as in the storage resource.")

    def handle_output(self, context: dg.OutputContext, obj: BaseModel) -> None:
        """Write the handle of this asset and partition."""
        partition = context.asset_partition_key if context.has_asset_partitions else UNPARTITIONED
        write_handle(path_at(self.root), context.asset_key.path, partition, obj)

    def load_input(self, context: dg.InputContext) -> Handles[Any]:
        """The handles of the upstream asset, of whatever partitions the run covers.

        Asked for one that was never materialized they raise a `dagster.Failure`.
        """
        kind = context.dagster_type.typing_type
        if not (isinstance(kind, type) and issubclass(kind, Handles)):
            raise dg.DagsterInvariantViolationError(f"{kind!r} is no class of handles")
        asset = context.asset_key

        def read(partition: str) -> bytes | None:
            path = _path(path_at(self.root), asset.path, partition)
            return path.read_bytes() if path.exists() else None

        def refuse(partition: str) -> dg.Failure:
            return dg.Failure(
                f"{asset.to_user_string()} of {partition!r} was never materialized. "
                "Mend: materialize it first, or select it together with this asset."
            )

        return kind(read, refuse)


def _path(root: UPath, asset: Sequence[str], partition: str) -> UPath:
    return root / "handles" / "/".join(asset) / f"{partition}.json"
