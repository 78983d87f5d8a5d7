"""Lines of the batch API's files, and what its job objects say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from domain.batch.provider_jobs import ProviderCounts
from domain.errors import FaultClass, ProviderError
from resources.llm.batch_api import JobStatus, LineResult, TokenBounds
from resources.llm.providers.batch_result_lines import read_results
from resources.llm.providers.http_faults import refusal
from resources.llm.providers.openai_wire import MaxTokensField, read_answer, request_body
from resources.llm.types import Request

_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_CUT_SHORT = frozenset({"expired", "cancelled"})
_UNTRIED = frozenset({"batch_expired", "batch_cancelled"})
_CODE = re.compile(r"[a-z][a-z0-9_]{1,60}")


def file_name(job: str) -> str:
    """What a job's file of requests is called, so that it can be found again."""
    return f"promptory-{job}.jsonl"


def request_line(custom_id: str, request: Request, max_tokens_field: MaxTokensField, endpoint: str) -> bytes:
    """One request: the body is, byte for byte, the one that a single call sends.

    Raises:
        ProviderError: INVALID_REQUEST, never sent.
    """
    body = request_body(request, max_tokens_field)
    head = orjson.dumps({"custom_id": custom_id, "method": "POST", "url": endpoint})
    return b'%b,"body":%b}' % (head[:-1], body)


def status_of(told: Mapping[str, Any]) -> JobStatus:
    """A batch object.

    Raises:
        ProviderError: MALFORMED; it is none.
    """
    provider_id, state = told.get("id"), told.get("status")
    if not isinstance(provider_id, str) or not isinstance(state, str):
        raise ProviderError("the batch API's answer is no job", fault=FaultClass.MALFORMED, status_code=200)
    files = (told.get("output_file_id"), told.get("error_file_id"))
    return JobStatus(
        id=provider_id,
        state=state[:50],
        ended=state in _ENDED,
        cut_short=state in _CUT_SHORT,
        failed=state == "failed",
        counts=_counts(told.get("request_counts")),
        outputs=tuple(file for file in files if isinstance(file, str) and file),
        problem=_problem(told.get("errors")) if state == "failed" else None,
    )


def parse_lines(data: bytes, bounds: Mapping[str, TokenBounds]) -> list[LineResult]:
    """The results in an output or error file. Lines that name no request of the job are passed over.

    Raises:
        ProviderError: MALFORMED; the file is not whole.
    """

    def read_line(told: Any) -> LineResult | None:
        custom_id = told.get("custom_id") if isinstance(told, dict) else None
        if not isinstance(custom_id, str) or custom_id not in bounds:
            return None
        return _result(custom_id, told, bounds[custom_id])

    return read_results(data, read_line, "custom_id", bounds)


def _result(custom_id: str, told: Mapping[str, Any], bound: TokenBounds) -> LineResult:
    error, response = told.get("error"), told.get("response")
    code = error.get("code") if isinstance(error, dict) else None
    if isinstance(code, str) and code in _UNTRIED:
        return LineResult(custom_id, untried=True)
    status = response.get("status_code") if isinstance(response, dict) else None
    if not isinstance(response, dict) or not isinstance(status, int):
        problem = "the batch API gave no response for the request"
        return LineResult(custom_id, error=ProviderError(problem, fault=FaultClass.SERVER, status_code=500))
    body = response.get("body")
    if not 200 <= status < 300:
        return LineResult(custom_id, error=refusal(status, body))
    try:
        answer = read_answer(body, lambda: bound.input_tokens, bound.output_tokens)
    except ProviderError as malformed:
        return LineResult(custom_id, error=malformed)
    return LineResult(custom_id, answer=answer)


def _counts(told: object) -> ProviderCounts | None:
    if not isinstance(told, dict):
        return None
    numbers = [told.get(name) for name in ("total", "completed", "failed")]
    whole = [number for number in numbers if isinstance(number, int)]
    return ProviderCounts(*whole) if len(whole) == 3 else None


def _problem(errors: object) -> str:
    """Codes of the provider's errors: its messages may quote requests."""
    data = errors.get("data") if isinstance(errors, dict) else None
    codes = {str(one.get("code")) for one in data if isinstance(one, dict)} if isinstance(data, list) else set()
    return ", ".join(sorted(code for code in codes if _CODE.fullmatch(code))[:3]) or "no reason given"
