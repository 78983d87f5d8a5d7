"""Dagster resources: dbt, and the DuckDB file it builds the metrics in."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg
from dagster_dbt import DbtCliResource
from pydantic import Field
from upath import UPath

from domain.errors import DatabaseUnavailableError, NotFoundError
from resources.metrics.dbt_project import PROJECT_FOLDER, PreparedProject
from resources.storage.location import is_local

if TYPE_CHECKING:
    import duckdb

_BUILD = "Run `promptory dashboard`, or materialize the assets of group metrics."


class MetricsResource(dg.ConfigurableResource):
    """The marts: a DuckDB file that one process writes (dbt) and others read between its runs."""

    duckdb_path: str = Field(description="The DuckDB file, e.g. .promptory/metrics.duckdb.")

    @contextmanager
    def connect(self) -> Iterator["duckdb.DuckDBPyConnection"]:
        """The marts, read-only. Keep it short: dbt waits for readers to go.

        Raises:
            NotFoundError: the metrics were never built, or not the table that is asked for.
            duckdb.IOException: the file cannot be read.
            DatabaseUnavailableError: dbt is building them right now.
        """
        import duckdb

        if not Path(self.duckdb_path).is_file():
            raise NotFoundError("The metrics were never built.", file=self.duckdb_path, mend=_BUILD)
        try:
            connection = duckdb.connect(self.duckdb_path, read_only=True)
        except duckdb.IOException as error:
            # DuckDB has one class for all that a file can do wrong.
            if "lock" not in str(error):
                raise
            raise DatabaseUnavailableError(
                "The metrics are being built right now.", file=self.duckdb_path, mend="Try again in a minute."
            ) from None
        with connection:
            try:
                yield connection
            except duckdb.CatalogException as error:
                raise NotFoundError(
                    f"The metrics were not built to the end ({error}).", file=self.duckdb_path, mend=_BUILD
                ) from None

    def refresh_arguments(self, fingerprint: str) -> list[str]:
        """Build everything anew where the file was made by other models than these: columns may differ."""
        note = self._built_with
        made_by = note.read_text() if note.is_file() else None
        return ["--full-refresh"] if made_by != fingerprint and Path(self.duckdb_path).is_file() else []

    def built_with(self, fingerprint: str) -> None:
        """Remember which models the file was made by."""
        self._built_with.write_text(fingerprint)

    @property
    def _built_with(self) -> Path:
        return Path(f"{self.duckdb_path}.project")

    def run_folder(self, run_id: str) -> Path:
        """Where dbt writes the artifacts and the log of one run."""
        return Path(self.duckdb_path).absolute().parent / "dbt_runs" / run_id

    def dbt_arguments(self, storage_root: UPath) -> list[str]:
        """What dbt must be told to read `storage_root` and to write this file."""
        Path(self.duckdb_path).parent.mkdir(parents=True, exist_ok=True)
        local = is_local(storage_root)
        storage = str(Path(storage_root.path).absolute()) if local else str(storage_root).rstrip("/")
        variables = {"storage": storage, "duckdb": str(Path(self.duckdb_path).absolute())}
        # The environment is not used: it would have to be changed for the whole process.
        return ["--vars", json.dumps(variables), "--target", "local" if local else "object_store"]


def dbt_cli_resource(prepared: PreparedProject) -> DbtCliResource:
    """The `dbt` resource over the prepared project."""
    return DbtCliResource(
        project_dir=PROJECT_FOLDER, profiles_dir=PROJECT_FOLDER, dbt_executable=str(prepared.executable)
    )
