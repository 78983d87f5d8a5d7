"""`embeddings/…`: the vectors of any endpoint that speaks OpenAI's embeddings (OpenAI, vLLM, Ollama, gateways)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from domain.errors import FaultClass, OutputParseError, ProviderError
from domain.evaluators.vectors import read_vector, vector_text
from domain.pricing import Usage
from resources.llm.providers.openai_endpoint import OpenAIEndpoint
from resources.llm.providers.openai_options import TokenOptions, read_options
from resources.llm.providers.usage import counted_usage
from resources.llm.types import ProviderAnswer, Request

if TYPE_CHECKING:
    from resources.llm.settings import EndpointSettings

# Each has a field of its own in Request, or is what the answer is read by.
_OWN_FIELDS = frozenset({"model", "input", "encoding_format"})


class EmbeddingsProvider(OpenAIEndpoint):
    """Embeds one text per call; the answer's text is the vector, as `domain.evaluators.vectors` writes it.

    To the core such a call is one with an answer of no tokens, so budgets, limits, cache and ledger hold for it.

    Args:
        settings: where to and with which key.
        clock: seconds since the epoch; dates in headers count from it.

    Raises:
        ConfigurationError: a header value or an option cannot be used.
    """

    def __init__(self, settings: EndpointSettings, *, clock: Callable[[], float] = time.time) -> None:
        super().__init__(settings, read_options(settings, TokenOptions), clock)

    async def send(self, request: Request, timeout_s: float) -> ProviderAnswer:
        """Make one attempt, as `Provider.send`. Cancelling it closes its connection.

        Raises:
            ProviderError: with the fault's class; `never_sent` where no byte left.
        """
        reply = await self._exchange("POST", "/embeddings", embedding_body(request), timeout_s)
        text, usage = read_embedding(reply.body)
        return ProviderAnswer(
            text=text,
            usage=usage or Usage(input_tokens=self.input_token_bound(request)),
            usage_estimated=usage is None,
            pause_s=self._pause_s(reply),
        )


def embedding_body(request: Request) -> bytes:
    """The JSON body of one call for the vector of the request's only message.

    Raises:
        ProviderError: the request is one to a model that writes, or its text is not Unicode; nothing was sent.
    """
    if len(request.messages) != 1 or request.messages[0].role != "user" or request.response_schema is not None:
        raise _unusable(
            "an embedding model takes one text and no conversation",
            "ask a language model; embedding models are for the evaluator embedding_similarity.",
        )
    refused = sorted(request.extra.keys() & _OWN_FIELDS)
    if refused:
        raise _unusable(f"parameter(s) {', '.join(refused)} may not be set in `extra`", "leave them out.")
    body: dict[str, Any] = {
        "model": request.model.partition("/")[2],
        "input": request.messages[0].content,
        "encoding_format": "base64",
        **request.extra,
    }
    try:
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
    except (UnicodeEncodeError, ValueError, TypeError):
        problem = "the request holds a lone surrogate, NaN or a value JSON cannot say"
    raise _unusable(problem, None)


def read_embedding(body: bytes) -> tuple[str, Usage | None]:
    """The vector and the billed tokens in a 200's body; no usage where none can be read.

    Endpoints that know no base64 send numbers, which are packed here.

    Raises:
        ProviderError: MALFORMED; there is no single vector in it.
    """
    try:
        parsed: Any = orjson.loads(body)
        (one,) = parsed["data"]
        vector = one["embedding"]
        if isinstance(vector, str):
            read_vector(vector)
            return vector, _usage(parsed.get("usage"))
        return vector_text(vector), _usage(parsed.get("usage"))
    except (ValueError, LookupError, TypeError, AttributeError, OutputParseError):
        pass
    raise ProviderError("the provider's answer is no embedding", fault=FaultClass.MALFORMED, status_code=200)


def _usage(usage: Any) -> Usage | None:
    return counted_usage(usage.get("prompt_tokens"), 0) if isinstance(usage, dict) else None


def _unusable(problem: str, mend: str | None) -> ProviderError:
    return ProviderError(problem, fault=FaultClass.INVALID_REQUEST, never_sent=True, mend=mend)
