"""LiteLLM with everything off that the execution core does itself, or that would act behind its back."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections import Counter
from collections.abc import Callable
from typing import Any

# The library downloads its price table on import unless this is set before.
os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")

import litellm
from openai import OpenAIError

from resources.llm.providers.litellm.faults import call_error

litellm.suppress_debug_info = True  # it prints on stdout
litellm.drop_params = False  # a parameter that is dropped in silence makes another request than was asked

# One attempt is one request: no retries, no cache, and no callbacks, which would export prompts.
ONE_ATTEMPT: dict[str, Any] = {
    "num_retries": 0,
    "max_retries": 0,
    "caching": False,
    "drop_params": False,
    "no-log": True,
}

_users: Counter[int] = Counter()


async def complete(clock: Callable[[], float], **parameters: Any) -> Any:
    """One request that was answered.

    Raises:
        ProviderError: with the fault's class. It is raised outside `except`: the library's errors quote what was asked.
    """
    try:
        return await litellm.acompletion(**parameters, **ONE_ATTEMPT)
    except OpenAIError as error:
        failure = call_error(error, clock())
    raise failure


def enter() -> None:
    """Count one more user of the clients that the library keeps for this event loop."""
    _users[id(asyncio.get_running_loop())] += 1


async def leave() -> None:
    """Count one user less; the last one closes those clients, which nobody else would before the process ends."""
    loop = id(asyncio.get_running_loop())
    _users[loop] -= 1
    if _users[loop] > 0:
        return
    del _users[loop]
    kept = litellm.in_memory_llm_clients_cache.cache_dict
    for key in [key for key in kept if str(key).endswith(f"-{loop}")]:
        closing = kept.pop(key).close()
        if inspect.isawaitable(closing):
            await closing
