"""The options of `huggingface/…`, checked when the provider is made."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import ConfigurationError
from resources.llm.settings_errors import as_configuration_error

if TYPE_CHECKING:
    from resources.llm.settings import EndpointSettings


class HuggingFaceOptions(BaseModel):
    """What `options` of the endpoint may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: str = Field(
        default="auto", description="`auto` (an accelerator if there is one), `cpu`, `cuda:0`, `mps`, …"
    )
    dtype: str = Field(default="auto", description="Type of the weights; `auto` takes the one they were saved in.")
    batch_size: int = Field(default=8, ge=1, le=256, description="Most calls generated together.")
    batch_wait_ms: float = Field(default=5.0, ge=0, le=1000, description="How long a call waits for company.")
    download: bool = Field(default=False, description="True: models that are not on this machine may be downloaded.")


def read_options(settings: EndpointSettings | None) -> HuggingFaceOptions:
    """The options of `settings`.

    Raises:
        ConfigurationError: torch is not installed, or something is set that has no meaning here.
    """
    if find_spec("torch") is None:
        raise ConfigurationError(
            "models named huggingface/… need torch, which is not installed",
            field="endpoints.huggingface",
            mend="install promptory[huggingface].",
        )
    if settings is None:
        return HuggingFaceOptions()
    if settings.base_url or settings.api_key or settings.headers:
        raise ConfigurationError(
            "huggingface/… runs inside this process: it has no base_url, api_key or headers",
            field="endpoints.huggingface",
            mend="remove them; for a server, use openai/… with its base_url.",
        )
    try:
        return HuggingFaceOptions.model_validate(settings.options)
    except ValidationError as error:
        known = as_configuration_error(error, HuggingFaceOptions)
    raise ConfigurationError(known.problem, field=f"endpoints.huggingface.options.{known.field}", mend=known.mend)
