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
