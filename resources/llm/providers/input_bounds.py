"""How many input tokens an endpoint's requests may be billed: by its model's tokenizer where at hand, else by bytes."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from resources.llm.providers.local_tokenizers import CountTokens, cached_encoding_counter, folder_counter
from resources.llm.providers.tokens import byte_token_bound, counted_token_bound
from resources.llm.types import Request

# Choices of the option `tokenizer`; anything else is a folder.
AUTO = "auto"
BYTES = "bytes"
TIKTOKEN = "tiktoken"
# System texts and demonstrations come again with every row: only what is new is counted.
_REMEMBERED_TEXTS = 512


class InputBounds:
    """The bounds of one endpoint.

    Args:
        tokenizer: `auto` (tiktoken, if the endpoint is OpenAI's own), `bytes`, `tiktoken`, or the path of a folder.
        openais_own: whether the names of models mean OpenAI's.
        extra_tokens: what the endpoint adds to each request beyond the marks of `tokens`.
        field: the setting that names the tokenizer, for errors.

    Raises:
        ConfigurationError: the folder holds no tokenizer.
    """

    def __init__(self, tokenizer: str, *, openais_own: bool, extra_tokens: int, field: str) -> None:
        self._by_name = tokenizer == TIKTOKEN or (tokenizer == AUTO and openais_own)
        self._extra_tokens = extra_tokens
        self._for_all = None
        if tokenizer not in (AUTO, BYTES, TIKTOKEN):
            self._for_all = _remembering(folder_counter(Path(tokenizer), field))
        self._of_model: dict[str, CountTokens | None] = {}

    def of(self, request: Request, bare_model: str) -> int:
        """The bound of `request`; `bare_model` is the model's name as the endpoint knows it."""
        count = self._for_all or (self._counter(bare_model) if self._by_name else None)
        bound = counted_token_bound(request, count) if count else byte_token_bound(request)
        return bound + self._extra_tokens

    def _counter(self, model: str) -> CountTokens | None:
        if model not in self._of_model:
            count = cached_encoding_counter(model)
            self._of_model[model] = _remembering(count) if count else None
        return self._of_model[model]


def _remembering(count: CountTokens) -> CountTokens:
    return lru_cache(maxsize=_REMEMBERED_TEXTS)(count)
