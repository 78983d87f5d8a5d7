"""The provider around the reader: refuses what is no prompt of a task, counts tokens and keeps readers warm."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from functools import lru_cache

from domain.message import Message
from domain.pricing import Usage
from resources.llm.providers.offline.features import weighted_features
from resources.llm.providers.offline.reader import StepReader
from resources.llm.providers.offline.reading import not_a_prompt, read_prefix
from resources.llm.providers.offline.wordpieces import (
    TOKENS_PER_ANSWER,
    count_messages,
    count_tokens,
    cut_to_tokens,
)
from resources.llm.types import ProviderAnswer, Request

MODEL = "nearest"
READERS_KEPT = 32
TEXTS_KEPT = 1_024


class OfflineProvider:
    """Answers `offline/nearest` in this process, without network and without randomness.

    The same request always gets the same answer: temperature, seed and sample change nothing. Readers of recent
    prompts are kept, answers are not.
    """

    def __init__(self) -> None:
        self._readers: OrderedDict[tuple[Message, ...], StepReader] = OrderedDict()
        self._featurise = lru_cache(maxsize=TEXTS_KEPT)(weighted_features)
        self._count = lru_cache(maxsize=READERS_KEPT)(count_messages)

    def input_token_bound(self, request: Request) -> int:
        """Exactly the input tokens `send` will count."""
        return self._count(request.messages[:-1]) + count_messages(request.messages[-1:]) + TOKENS_PER_ANSWER

    async def send(self, request: Request, timeout_s: float) -> ProviderAnswer:  # noqa: ARG002 (it takes milliseconds)
        """Answer one request.

        Raises:
            ProviderError: INVALID_REQUEST; it is not the prompt of a task, or it is free text without demonstrations.
        """
        await asyncio.sleep(0)  # many calls at once must not keep the loop from its other work
        if request.model.partition("/")[2] != MODEL:
            raise not_a_prompt(f"{request.model!r} is unknown, its one model is offline/{MODEL}")
        if not request.messages or request.messages[-1].role != "user":
            raise not_a_prompt("its last message is not an input")
        answer = self._reader(request.messages[:-1]).answer(request.messages[-1].content)
        text = _cut_at_stop(answer, request.stop)
        text, cut = cut_to_tokens(text, request.max_output_tokens)
        usage = Usage(input_tokens=self.input_token_bound(request), output_tokens=count_tokens(text))
        return ProviderAnswer(text=text, usage=usage, finish_reason="length" if cut else "stop")

    async def check(self) -> None:
        """Nothing to reach."""

    async def close(self) -> None:
        """Forget the readers. Safe to call twice."""
        self._readers.clear()
        self._featurise.cache_clear()
        self._count.cache_clear()

    def _reader(self, messages: tuple[Message, ...]) -> StepReader:
        reader = self._readers.get(messages)
        if reader is None:
            reader = self._readers[messages] = StepReader(read_prefix(messages), self._featurise)
            if len(self._readers) > READERS_KEPT:
                self._readers.popitem(last=False)
        else:
            self._readers.move_to_end(messages)
        return reader


def _cut_at_stop(text: str, stop: tuple[str, ...]) -> str:
    ends = [end for end in (text.find(sequence) for sequence in stop if sequence) if end >= 0]
    return text[: min(ends)] if ends else text
