"""`openai/…`: any endpoint that speaks OpenAI's chat completions (OpenAI, vLLM, Ollama, gateways)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from resources.llm.providers.openai_batches import OpenAIBatches
from resources.llm.providers.openai_endpoint import VENDOR_BASE_URL, OpenAIEndpoint
from resources.llm.providers.openai_options import OpenAIOptions, read_options
from resources.llm.providers.openai_stream import completion_of
from resources.llm.providers.openai_wire import parse_answer, request_body
from resources.llm.types import ProviderAnswer, Request

if TYPE_CHECKING:
    from resources.llm.settings import EndpointSettings


class OpenAIProvider(OpenAIEndpoint):
    """Chat completions of one endpoint.

    Args:
        settings: where to and with which key.
        clock: seconds since the epoch; dates in headers count from it.

    Raises:
        ConfigurationError: a header value or an option cannot be used.
    """

    def __init__(self, settings: EndpointSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._options = read_options(settings, OpenAIOptions)
        super().__init__(settings, self._options, clock)
        self._batches: OpenAIBatches | None = None

    async def send(self, request: Request, timeout_s: float) -> ProviderAnswer:
        """Make one attempt, as `Provider.send`. Cancelling it closes its connection.

        Raises:
            ProviderError: with the fault's class; `never_sent` where no byte left.
        """
        options = self._options
        body = request_body(request, options.max_tokens_field, stream=options.stream)
        first_byte_s = options.first_byte_s if options.stream else None
        reply = await self._exchange("POST", "/chat/completions", body, timeout_s, first_byte_s)
        # An endpoint that knows no streams answers in one piece.
        streamed = options.stream and reply.headers.get("Content-Type", "").startswith("text/event-stream")
        answer = completion_of(reply.body) if streamed else reply.body
        parsed = parse_answer(answer, lambda: self.input_token_bound(request), request.max_output_tokens)
        pause_s = self._pause_s(reply)
        return replace(parsed, pause_s=pause_s) if pause_s else parsed

    def batch_api(self) -> OpenAIBatches:
        """The endpoint's `/files` and `/batches`."""
        if self._batches is None:
            self._batches = OpenAIBatches(
                self._settings.base_url or VENDOR_BASE_URL, self._headers, self._options, self._settings.timeout_s
            )
        return self._batches

    async def close(self) -> None:
        """Close every connection. Safe to call twice; a closed provider answers no more."""
        await super().close()
        if self._batches is not None:
            await self._batches.close()
