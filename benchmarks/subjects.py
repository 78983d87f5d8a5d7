"""What is measured: each subject opens once and then makes one call at a time, its peers' ways of doing the same.

A subject is an async context manager that yields `call(number)`; every number makes a prompt of its own, unless the
subject is about cache hits.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.provider import PRICE
from benchmarks.valkey import ValkeyServer

Call = Callable[[int], Awaitable[None]]
MODEL = "m"
MAX_TOKENS = 32
PROMPT = (
    "You sort the messages of customers. Answer with one label.\n" + "My parcel is late and I want my money back. " * 6
)
SCOPES = ("day", "task:sorting", "run:one")


@dataclass
class Running:
    """An open subject. `flush` ends a measurement: what was put off is done within it."""

    call: Call
    flush: Callable[[], Awaitable[None]]


Subject = Callable[[str], contextlib.AbstractAsyncContextManager[Running]]


async def _nothing_to_flush() -> None:
    return None


def prompt(number: int, size: int = 0) -> str:
    """A prompt that no other number has; padded to `size` bytes."""
    return f"{number} {PROMPT}".ljust(size, "x")


@asynccontextmanager
async def raw_aiohttp(base_url: str) -> AsyncIterator[Running]:
    """One session, one POST per call, the answer parsed: no client could do less with aiohttp's documented API."""
    import aiohttp

    headers = {"Authorization": "Bearer key", "Content-Type": "application/json"}
    connector = aiohttp.TCPConnector(limit=256)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def call(number: int) -> None:
            body = {
                "model": MODEL,
                "messages": [{"role": "user", "content": prompt(number)}],
                "max_tokens": MAX_TOKENS,
                "temperature": 0.0,
            }
            async with session.post(f"{base_url}/chat/completions", data=json.dumps(body).encode()) as response:
                answer = json.loads(await response.read())
            assert answer["choices"][0]["message"]["content"]

        yield Running(call, _nothing_to_flush)


def core(
    state: str = "memory",
    *,
    scopes: int = 3,
    limits: bool = True,
    cache: bool = True,
    hits: bool = False,
    written: bool = True,
) -> Subject:
    """Our execution core. `hits`: every call asks one prompt of 2 kB; not `written`: the ledger's lines just wait."""

    @asynccontextmanager
    async def opened(base_url: str) -> AsyncIterator[Running]:
        from resources.llm import CallContext, Message, Request, open_client

        with tempfile.TemporaryDirectory() as folder, _state_url(state, Path(folder)) as url:
            settings = core_settings(base_url, Path(folder), url, scopes=scopes, limits=limits, cache=cache)
            if not written:
                settings = settings.model_copy(update={"flush_interval_s": 3600.0})
            context = CallContext("batch", task="sorting", run_id="one", scopes=SCOPES[:scopes])
            async with open_client(settings) as llm:
                llm.subscribe(lambda _event: None)

                async def call(number: int) -> None:
                    text = prompt(0, 2048) if hits else prompt(number)
                    request = Request(f"openai/{MODEL}", (Message("user", text),), MAX_TOKENS, 0.0)
                    completion = await llm.complete(request, context)
                    assert completion.status == "ok"

                yield Running(call, llm.flush if written else _nothing_to_flush)

    return opened


@contextlib.contextmanager
def _state_url(state: str, folder: Path) -> Iterator[str]:
    """The URL of a new state store of this kind. A Redis server is another process, whose CPU is not the client's."""
    if state == "redis":
        with ValkeyServer() as server:
            yield server.url()
    else:
        yield "memory" if state == "memory" else f"sqlite:///{folder / 'state.db'}"


def core_settings(
    base_url: str, folder: Path, state_url: str, *, scopes: int = 3, limits: bool = True, cache: bool = True
) -> Any:
    """Settings with every guard on, unless told otherwise; caps and limits so wide that none is reached."""
    from resources.llm import CoreSettings

    return CoreSettings.parse(
        {
            "state": state_url,
            "ledger": f"sqlite:///{folder / 'ledger.db'}",
            "endpoints": {"openai": {"base_url": base_url, "api_key": "key"}},
            "prices": {f"openai/{MODEL}": PRICE},
            "budgets": dict.fromkeys(SCOPES[:scopes], "1000"),
            "limits": {f"openai/{MODEL}": {"requests_per_minute": 10**7, "tokens_per_minute": 10**10}}
            if limits
            else {},
            "cache": {"enabled": cache},
        }
    )


@asynccontextmanager
async def dspy_client(base_url: str) -> AsyncIterator[Running]:
    """DSPy's own client, without its cache and its retries."""
    import dspy

    lm = dspy.LM(
        f"openai/{MODEL}",
        api_base=base_url,
        api_key="key",
        cache=False,
        num_retries=0,
        temperature=0.0,
        max_tokens=MAX_TOKENS,
    )

    async def call(number: int) -> None:
        answer = await lm.acall(messages=[{"role": "user", "content": prompt(number)}])
        assert answer

    yield Running(call, _nothing_to_flush)


@asynccontextmanager
async def litellm_router(base_url: str) -> AsyncIterator[Running]:
    """LiteLLM's Router with its guards on: rate limits, cooldowns, retries, a provider budget, an in-memory cache."""
    import litellm

    litellm.suppress_debug_info = True
    router = litellm.Router(  # pyright: ignore[reportPrivateImportUsage] - how its documentation imports it
        model_list=[
            {
                "model_name": MODEL,
                "litellm_params": {
                    "model": f"openai/{MODEL}",
                    "api_base": base_url,
                    "api_key": "key",
                    "rpm": 10**7,
                    "tpm": 10**10,
                    "input_cost_per_token": 1.5e-7,
                    "output_cost_per_token": 6e-7,
                },
            }
        ],
        routing_strategy="usage-based-routing-v2",
        num_retries=2,
        allowed_fails=5,
        cooldown_time=60,
        cache_responses=True,
        enable_pre_call_checks=False,
        provider_budget_config={"openai": litellm.types.utils.BudgetConfig(max_budget=1000, budget_duration="1d")},
    )

    async def call(number: int) -> None:
        answer = await router.acompletion(
            model=MODEL, messages=[{"role": "user", "content": prompt(number)}], max_tokens=MAX_TOKENS, temperature=0.0
        )
        assert answer.choices[0].message.content

    yield Running(call, _nothing_to_flush)


SUBJECTS: dict[str, Subject] = {
    "raw aiohttp": raw_aiohttp,
    "core, memory": core(),
    "core, sqlite": core("sqlite"),
    "core, redis": core("redis"),
    "core, memory, cache off": core(cache=False),
    "core, memory, no limiter": core(limits=False),
    "core, memory, 0 scopes": core(scopes=0),
    "core, memory, 1 scope": core(scopes=1),
    "core, memory, ledger waits": core(written=False),
    "core, sqlite, cache off": core("sqlite", cache=False),
    "core, sqlite, no limiter": core("sqlite", limits=False),
    "core, sqlite, 0 scopes": core("sqlite", scopes=0),
    "core, sqlite, 1 scope": core("sqlite", scopes=1),
    "core, sqlite, ledger waits": core("sqlite", written=False),
    "cache hit, memory": core(hits=True),
    "cache hit, sqlite": core("sqlite", hits=True),
    "cache hit, redis": core("redis", hits=True),
    "DSPy's client": dspy_client,
    "LiteLLM Router": litellm_router,
}
