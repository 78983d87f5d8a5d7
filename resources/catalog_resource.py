"""Dagster resource: the task files and the landing folder."""

from pathlib import Path

import dagster as dg
from pydantic import Field
from upath import UPath

from resources.catalog.catalog import Catalog
from resources.storage.location import path_at


class CatalogResource(dg.ConfigurableResource):
    """Where tasks are declared and where new dataset files arrive."""

    folder: str = Field(description="Folder that holds tasks/*.yaml.")
    landing: str = Field(description="Folder or URL; a file below <landing>/<task>/ adds to that task's dataset.")
    batches: str = Field(
        default="batches",
        description="Folder or URL; a file below <batches>/<task>/ holds rows to be answered.",
    )
    endpoints: dict[str, str] = Field(
        default={}, description="Kind of provider by endpoint name: what a task's model may begin with."
    )

    def catalog(self) -> Catalog:
        """The catalog, read afresh at every use."""
        return Catalog(Path(self.folder), self.endpoints)

    def landing_root(self) -> UPath:
        """The landing folder as a path."""
        return path_at(self.landing)

    def batch_root(self) -> UPath:
        """The folder of batch folders as a path."""
        return path_at(self.batches)
