"""Files of batch results with a line that is odd, and what becomes of the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from domain.errors import FaultClass, ProviderError
from resources.llm.batch_api import LineResult, TokenBounds
from resources.llm.providers import openai_batch_lines
from resources.llm.providers.vertex import batch_lines as vertex_batch_lines

BOUNDS = {name: TokenBounds(input_tokens=20, output_tokens=10) for name in ("one", "two", "three")}

Line = Callable[[str, str], bytes]
ParseLines = Callable[[bytes, Mapping[str, TokenBounds]], list[LineResult]]


def openai_line(custom_id: str, text: str) -> bytes:
    usage = {"prompt_tokens": 7, "completion_tokens": 2}
    body = {"id": "r", "choices": [{"message": {"content": text}, "finish_reason": "stop"}], "usage": usage}
    return json.dumps({"custom_id": custom_id, "response": {"status_code": 200, "body": body}}).encode()


def vertex_line(custom_id: str, text: str) -> bytes:
    answer = {"content": {"parts": [{"text": text}]}, "finishReason": "STOP"}
    response = {"candidates": [answer], "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 2}}
    request = {"labels": {"promptory_call": custom_id}}
    return json.dumps({"request": request, "status": "", "response": response}).encode()


@pytest.fixture(params=["openai", "vertex"])
def line(request: pytest.FixtureRequest) -> Line:
    return {"openai": openai_line, "vertex": vertex_line}[request.param]


@pytest.fixture
def parse_lines(line: Line) -> ParseLines:
    return openai_batch_lines.parse_lines if line is openai_line else vertex_batch_lines.parse_lines


def said(results: list[LineResult]) -> dict[str, Any]:
    """Text by id, or the class of the error."""
    return {one.custom_id: one.answer.text if one.answer else one.error and one.error.fault for one in results}


def test_half_a_surrogate_pair_spoils_neither_its_line_nor_the_file(line: Line, parse_lines: ParseLines) -> None:
    assert b"\\ud83d" in line("two", "half \ud83d")
    data = b"\n".join([line("one", "good"), line("two", "half \ud83d"), line("three", "whole \U0001f600"), b""])
    results = parse_lines(data, BOUNDS)
    assert said(results) == {"one": "good", "two": "half \ufffd", "three": "whole \U0001f600"}
    for result in results:
        assert result.answer is not None
        assert (result.answer.usage.input_tokens, result.answer.usage.output_tokens) == (7, 2)
        assert not result.answer.usage_estimated


def test_a_line_that_cannot_be_read_is_lost_and_the_others_are_not(line: Line, parse_lines: ParseLines) -> None:
    quoting = line("three", 'he wrote "custom_id": "one", "promptory_call": "one"')
    data = b"\n".join([line("two", "spoilt").replace(b'"spoilt"', b'"spoi\xff\xfe'), quoting, b"nonsense", b""])
    results = parse_lines(data, BOUNDS)
    assert said(results)["two"] is FaultClass.MALFORMED
    assert [result.custom_id for result in results if result.answer] == ["three"]
    assert len(results) == 2


def test_of_a_line_that_names_several_requests_nothing_is_believed(line: Line, parse_lines: ParseLines) -> None:
    data = b"\n".join([line("one", "good"), line("two", "x")[:-3] + line("three", "y"), b""])
    assert said(parse_lines(data, BOUNDS)) == {"one": "good"}


@pytest.mark.parametrize("end", [b"", b"\n\n"])
def test_a_file_that_is_not_whole_is_asked_for_again(line: Line, parse_lines: ParseLines, end: bytes) -> None:
    cut = line("two", "good")[:-9]
    data = line("one", "good") + b"\n" + cut if end == b"" else cut + end
    with pytest.raises(ProviderError, match="not JSON") as caught:
        parse_lines(data, BOUNDS)
    assert caught.value.fault is FaultClass.MALFORMED


def test_a_refusal_that_quotes_half_a_pair_keeps_its_code() -> None:
    body = {"error": {"code": "context_length_exceeded", "message": "you wrote \ud83d"}}
    told = json.dumps({"custom_id": "one", "response": {"status_code": 400, "body": body}}).encode()
    (result,) = openai_batch_lines.parse_lines(told + b"\n", BOUNDS)
    assert result.error is not None
    assert result.error.fault is FaultClass.INVALID_REQUEST
    assert "context_length_exceeded" in str(result.error)


@pytest.mark.parametrize("code", [["batch_expired"], {"of": "batch"}, 7])
def test_an_error_whose_code_is_no_text_spoils_only_its_line(code: object) -> None:
    told = json.dumps({"custom_id": "one", "response": None, "error": {"code": code}}).encode()
    results = openai_batch_lines.parse_lines(told + b"\n" + openai_line("two", "good") + b"\n", BOUNDS)
    assert said(results) == {"one": FaultClass.SERVER, "two": "good"}
