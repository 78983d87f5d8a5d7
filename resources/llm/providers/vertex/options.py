"""The options of `vertex/…`, checked when the provider is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import ConfigurationError
from resources.llm.settings_errors import as_configuration_error

if TYPE_CHECKING:
    from resources.llm.settings import EndpointSettings


class VertexOptions(BaseModel):
    """What `options` of the endpoint may hold: all of it concerns batch prediction."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch_folder: str | None = Field(
        default=None,
        pattern=r"^gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/[^\s?#]+)?$",
        description="Where requests and results of batch jobs lie, e.g. `gs://bucket/promptory`. Vertex AI's service "
        "agent and these credentials must be able to read and write there.",
    )
    batch_url: str | None = Field(
        default=None, pattern=r"^https?://", description="REST address of the job service; None: the location's."
    )
    storage_url: str | None = Field(
        default=None, pattern=r"^https?://", description="Address of Cloud Storage; None: Google's."
    )
    batch_requests: int = Field(default=50_000, ge=1, le=200_000, description="Requests that one job takes.")
    batch_bytes: int = Field(
        default=50_000_000, ge=100_000, le=1_000_000_000, description="Bytes that one job's file of requests may have."
    )


def read_options(settings: EndpointSettings | None) -> VertexOptions:
    """The options of `settings`.

    Raises:
        ConfigurationError: one is unknown or has a value it does not take.
    """
    try:
        return VertexOptions.model_validate({} if settings is None else settings.options)
    except ValidationError as error:
        known = as_configuration_error(error, VertexOptions)
    raise ConfigurationError(known.problem, field=f"endpoints.vertex.options.{known.field}", mend=known.mend)
