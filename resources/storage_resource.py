"""Dagster resource: where Parquet snapshots and reports live."""

import dagster as dg
from pydantic import Field
from upath import UPath

from resources.storage.location import path_at


class StorageResource(dg.ConfigurableResource):
    """The storage root: a local folder or an object-store URL that fsspec knows."""

    root: str = Field(description="Folder or URL, e.g. .promptory/storage or s3://bucket/promptory.")

    def path(self) -> UPath:
        """The root as a path."""
        return path_at(self.root)
