"""Answers in pieces are the answers in one piece, and a stream that breaks is no answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from openai_calls import ask, fault_of, provider_for
from servers.openai_server import Answer, Fault, OpenAIServer

from domain.errors import ConfigurationError, FaultClass
from resources.llm.providers.openai import OpenAIProvider
from resources.llm.settings import EndpointSettings


@pytest_asyncio.fixture
async def streaming(openai_server: OpenAIServer) -> AsyncIterator[OpenAIProvider]:
    made = provider_for(openai_server, options={"stream": True, "first_byte_s": 5.0})
    yield made
    await made.close()


@pytest.mark.parametrize(
    "answer",
    [
        Answer("one two three", cached_input_tokens=4),
        Answer("naïve 東京 \u2028 data: x"),
        Answer("one two three four five six seven eight nine ten eleven"),
        Answer("", finish_reason="content_filter"),
        Answer("", refusal="I will not."),
        Answer("x", finish_reason="tool_calls"),
    ],
)
async def test_pieces_make_the_same_answer(
    provider: OpenAIProvider, streaming: OpenAIProvider, openai_server: OpenAIServer, answer: Answer
) -> None:
    openai_server.behaviour = lambda _: answer
    request = ask(max_output_tokens=8)
    whole, pieces = await provider.send(request, 5), await streaming.send(request, 5)
    assert (pieces.text, pieces.finish_reason, pieces.usage) == (whole.text, whole.finish_reason, whole.usage)
    assert not pieces.usage_estimated
    assert pieces.provider_request_id == "chatcmpl-1"
    assert openai_server.requests[1]["stream_options"] == {"include_usage": True}


async def test_an_endpoint_that_knows_no_streams_is_understood(
    streaming: OpenAIProvider, openai_server: OpenAIServer
) -> None:
    openai_server.fail_next(Fault(no_stream=True))
    assert (await streaming.send(ask(), 5)).text == "ok"


async def test_without_usage_the_bound_counts(streaming: OpenAIProvider, openai_server: OpenAIServer) -> None:
    openai_server.fail_next(Fault(missing_usage=True))
    assert (await streaming.send(ask(), 5)).usage_estimated


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"data: [DONE]\n\n",
        b"data: not json\n\n",
        b"data: []\n\n",
        b'data: {"error": {"message": "overloaded"}}\n\n',
        b'data: {"choices": [{"delta": {"content": "half an ans"}}]}\n\n',
        b'data: {"choices": [{"delta": {"content": 5}, "finish_reason": "stop"}]}\n\n',
    ],
)
async def test_streams_that_are_no_complete_answer(
    streaming: OpenAIProvider, openai_server: OpenAIServer, body: bytes
) -> None:
    openai_server.fail_next(Fault(raw_body=body))
    error = await fault_of(streaming)
    assert error.fault is FaultClass.MALFORMED
    assert error.rule.outcome_unknown


async def test_a_stream_cut_in_the_middle_is_a_broken_connection(
    streaming: OpenAIProvider, openai_server: OpenAIServer
) -> None:
    openai_server.fail_next(Fault(cut="mid_body"))
    assert (await fault_of(streaming)).fault is FaultClass.CONNECTION


async def test_a_silent_endpoint_is_given_up_at_the_first_byte_limit(
    openai_server: OpenAIServer,
) -> None:
    impatient = provider_for(openai_server, options={"stream": True, "first_byte_s": 0.5})
    openai_server.fail_next(Fault(latency_s=10.0))
    error = await fault_of(impatient, timeout_s=30)
    await impatient.close()
    assert (error.fault, error.never_sent) == (FaultClass.TIMEOUT, False)


@pytest.mark.parametrize(
    ("options", "mend"),
    [
        ({"stream": "perhaps"}, "take answers in pieces"),
        ({"first_byte_s": 0}, "longest wait for the first piece"),
        ({"streaming": True}, "known here: .*first_byte_s, .*stream"),
    ],
)
def test_options_that_cannot_work(options: dict[str, Any], mend: str) -> None:
    with pytest.raises(ConfigurationError, match=mend):
        OpenAIProvider(EndpointSettings(options=options))
