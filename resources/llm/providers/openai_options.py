"""The options of `openai/…` and `embeddings/…`, checked when the provider is made."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domain.errors import ConfigurationError
from resources.llm.providers.input_bounds import AUTO
from resources.llm.providers.openai_wire import MaxTokensField
from resources.llm.settings_errors import as_configuration_error

if TYPE_CHECKING:
    from resources.llm.settings import EndpointSettings

Options = TypeVar("Options", bound="TokenOptions")


class TokenOptions(BaseModel):
    """What bounds the input tokens of any call; all that `options` of `embeddings/…` may hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tokenizer: str = Field(
        default=AUTO,
        min_length=1,
        description="What input tokens are bounded with: `auto`, `bytes`, `tiktoken`, or the path of a folder with the "
        "tokenizer.json of the model that is served.",
    )
    extra_input_tokens: int = Field(
        default=0,
        ge=0,
        description="Input tokens that the endpoint adds to each request beyond those allowed for anyway, e.g. by a "
        "long default system text.",
    )


class OpenAIOptions(TokenOptions):
    """What `options` of `openai/…` may hold."""

    max_tokens_field: MaxTokensField = Field(
        default="max_tokens", description="Name of the length limit: newer endpoints know only the longer one."
    )
    stream: bool = Field(default=False, description="True: take answers in pieces.")
    first_byte_s: float | None = Field(
        default=None, gt=0, description="With `stream`: longest wait for the first piece, in seconds."
    )
    batch_window: str = Field(
        default="24h", pattern=r"^\d+[hd]$", description="Within which time the batch API is to answer a job."
    )
    batch_requests: int = Field(
        default=50_000, ge=1, le=50_000, description="Requests that one job of the batch API takes."
    )
    batch_bytes: int = Field(
        default=50_000_000, ge=100_000, le=200_000_000, description="Bytes that one job's file of requests may have."
    )
    batch_lookup: bool = Field(
        default=True,
        description="Whether the batch API lists jobs with the `metadata` they were created with. Where it does not, a "
        "job whose creation was cut off is put aside for a person.",
    )


def read_options(settings: EndpointSettings, kind: type[Options]) -> Options:
    """The options of `settings`.

    Raises:
        ConfigurationError: one is unknown or has a value it does not take.
    """
    try:
        return kind.model_validate(settings.options)
    except ValidationError as error:
        known = as_configuration_error(error, kind)
    raise ConfigurationError(known.problem, field=f"endpoints.options.{known.field}", mend=known.mend)
