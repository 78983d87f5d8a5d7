"""Dagster IO manager for handles: one JSON file per asset and partition."""

import dagster as dg
from pydantic import BaseModel, Field
from upath import UPath

from resources.storage.atomic import write_atomically

OPTIONAL = "promptory/optional"


class HandleIOManager(dg.ConfigurableIOManager):
    """Stores what an asset returns (a pydantic model) and gives it to downstream assets.

    An input with the metadata `promptory/optional: True` is None where its asset was never materialized.
    """

    root: str = Field(description="Storage root, as in the storage resource.")

    def handle_output(self, context: dg.OutputContext, obj: BaseModel) -> None:
        """Write the handle of this asset and partition."""
        payload = obj.model_dump_json(indent=2).encode()
        write_atomically(self._path(context), lambda stream: stream.write(payload))

    def load_input(self, context: dg.InputContext) -> BaseModel | None:
        """Read the handle of the upstream asset for this partition.

        Raises:
            dagster.Failure: it was never materialized.
        """
        path = self._path(context)
        if not path.exists():
            if (context.definition_metadata or {}).get(OPTIONAL):
                return None
            raise dg.Failure(
                f"{context.asset_key.to_user_string()} of {context.asset_partition_key!r} was never materialized. "
                "Mend: materialize it first, or select it together with this asset."
            )
        model = _model_of(context.dagster_type.typing_type)
        return model.model_validate_json(path.read_bytes())

    def _path(self, context: dg.InputContext | dg.OutputContext) -> UPath:
        name = context.asset_partition_key if context.has_asset_partitions else "all"
        return UPath(self.root) / "handles" / "/".join(context.asset_key.path) / f"{name}.json"


def _model_of(annotation: object) -> type[BaseModel]:
    options = [annotation, *getattr(annotation, "__args__", ())]
    for option in options:
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    raise dg.DagsterInvariantViolationError(f"no handle type in {annotation!r}")
