"""What headers say about when a provider takes requests again."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai_calls import NOW_S, ask, fault_of, provider_for
from servers.openai_server import Fault, OpenAIServer

from domain.errors import FaultClass
from resources.llm.providers.openai import OpenAIProvider
from resources.llm.providers.rate_limit_headers import duration_s, pause_asked_s

UNITS_S = {"h": 3600, "m": 60, "s": 1, "ms": 1e-3, "µs": 1e-6, "us": 1e-6, "ns": 1e-9}
NO_REQUESTS = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "0"}
NO_TOKENS = {"x-ratelimit-limit-tokens": "9000", "x-ratelimit-remaining-tokens": "0"}

parts = st.tuples(st.integers(0, 10**6), st.sampled_from(["", ".5", ".25", ".125"]), st.sampled_from(sorted(UNITS_S)))


@given(st.lists(parts, min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(written: list[tuple[int, str, str]]) -> None:
    text = "".join(f"{whole}{fraction}{unit}" for whole, fraction, unit in written)
    expected = sum((whole + float(fraction or 0)) * UNITS_S[unit] for whole, fraction, unit in written)
    assert duration_s(text) == pytest.approx(expected, rel=1e-12)
    assert duration_s(f" {text}\t") == duration_s(text)


@given(st.text(alphabet="0123456789.hmsµudn -+e", max_size=80) | st.text())
def test_any_text_is_a_duration_that_is_not_negative_or_none(text: str) -> None:
    seconds = duration_s(text)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("6m0s", 360.0),
        ("120ms", 0.12),
        ("7.66s", 7.66),
        ("2m59.56s", 179.56),
        ("1h2m3s", 3723.0),
        ("0s", 0.0),
        ("0", 0.0),
        ("59.7", 59.7),
        ("1d", 86400.0),
        ("", None),
        ("soon", None),
        ("-1s", None),
        ("1", 1.0),
        ("1 s", None),
        ("1e3", None),
        ("inf", None),
        ("1s2", None),
        ("١s", None),
        ("9" * 65, None),
    ],
)
def test_durations(text: str, seconds: float | None) -> None:
    assert duration_s(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({**NO_REQUESTS, "x-ratelimit-reset-requests": "1s"}, 1.0),
        ({**NO_TOKENS, "x-ratelimit-reset-tokens": "6m0s"}, 360.0),
        ({**NO_REQUESTS, "x-ratelimit-reset-requests": "1s", **NO_TOKENS, "x-ratelimit-reset-tokens": "120ms"}, 1.0),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "1s"}, None),
        ({**NO_REQUESTS, "x-ratelimit-reset-requests": "later", **NO_TOKENS, "x-ratelimit-reset-tokens": "2s"}, 2.0),
        (NO_REQUESTS, None),
        ({"x-ratelimit-reset-requests": "1s"}, None),
        ({"x-ratelimit-remaining-requests": "-1", "x-ratelimit-reset-requests": "1s"}, None),
        ({"x-ratelimit-remaining-requests": "none", "x-ratelimit-reset-requests": "1s"}, None),
        ({"ratelimit-limit": "10", "ratelimit-remaining": "0", "ratelimit-reset": "7"}, 7.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": str(int(NOW_S) + 9)}, 9.0),
        ({"ratelimit-remaining": "0", "ratelimit-reset": str(int(NOW_S + 9) * 1000)}, 9.0),
        ({"ratelimit": "limit=10, remaining=0, reset=7"}, 7.0),
        ({"ratelimit": "limit=10, remaining=3, reset=7"}, None),
        ({"ratelimit": '"burst";r=0;t=2, "day, all";r=0;t=40, "hour";r=5;t=99'}, 40.0),
        ({"ratelimit": '"burst";r=1;t=2'}, None),
        ({"ratelimit": '"burst";r=0'}, None),
        ({"ratelimit": ";;=,,r=,"}, None),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2023-11-14T22:13:50Z",
            },
            30.0,
        ),
        ({**NO_REQUESTS, "x-ratelimit-reset-requests": "1m0s", "retry-after": "2"}, 2.0),
        ({**NO_REQUESTS, "x-ratelimit-reset-requests": "1m0s", "retry-after": "soon"}, 60.0),
        ({**NO_REQUESTS, "x-ratelimit-reset-requests": "1m0s", "retry-after-ms": "250"}, 0.25),
    ],
)
def test_what_headers_ask_for(headers: dict[str, str], seconds: float | None) -> None:
    assert pause_asked_s(headers, NOW_S) == (None if seconds is None else pytest.approx(seconds))


@given(
    st.dictionaries(
        st.sampled_from([*NO_REQUESTS, "x-ratelimit-reset-requests", "ratelimit", "retry-after"]), st.text()
    )
)
def test_no_header_can_make_an_answer_fail(headers: dict[str, str]) -> None:
    seconds = pause_asked_s(headers, NOW_S)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


async def test_an_answer_says_for_how_long_nothing_is_left(
    provider: OpenAIProvider, openai_server: OpenAIServer
) -> None:
    openai_server.fail_next(Fault(headers={**NO_REQUESTS, "x-ratelimit-reset-requests": "1m0s"}))
    openai_server.fail_next(Fault(headers={"X-RateLimit-Remaining-Tokens": "5", "X-RateLimit-Reset-Tokens": "1m0s"}))
    answers = [await provider.send(ask(), 5) for _ in range(3)]
    assert [answer.pause_s for answer in answers] == [60.0, 0.0, 0.0]


async def test_a_streamed_answer_says_so_too(openai_server: OpenAIServer) -> None:
    provider = provider_for(openai_server, options={"stream": True})
    openai_server.fail_next(Fault(headers={"RateLimit": '"default";r=0;t=30'}))
    assert (await provider.send(ask(), 5)).pause_s == 30.0
    await provider.close()


@pytest.mark.parametrize("status", [400, 429, 503])
async def test_so_does_an_error_of_any_status(
    provider: OpenAIProvider, openai_server: OpenAIServer, status: int
) -> None:
    openai_server.fail_next(Fault(status=status, headers={**NO_TOKENS, "x-ratelimit-reset-tokens": "6m0s"}))
    error = await fault_of(provider)
    assert error.retry_after_s == 360.0
    assert (error.fault is FaultClass.RATE_LIMITED) == (status == 429)
