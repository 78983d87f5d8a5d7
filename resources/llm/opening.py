"""Opening the client on the running event loop."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from resources.llm.call import Timing
from resources.llm.client import LLMClient
from resources.llm.settings import CoreSettings
from resources.llm.state import open_state_store
from resources.llm.types import Provider


@asynccontextmanager
async def open_client(
    settings: CoreSettings,
    *,
    clock: Callable[[], float] = time.time,
    monotonic: Callable[[], float] | None = None,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    rng: random.Random | None = None,
    providers: Mapping[str, Provider] | None = None,
) -> AsyncIterator[LLMClient]:
    """An open client; on leaving, what is under way is finished and the ledger written.

    Args:
        clock: epoch seconds.
        monotonic: seconds that never jump; None takes the system's, or `clock` where another clock was injected.
        sleep: waits between attempts and in queues.
        rng: jitter.
        providers: by endpoint name, instead of those the settings would make. They are closed with the client.

    Raises:
        ConfigurationError: a setting is not usable.
        DatabaseUnavailableError: the ledger's database does not answer.
        SchemaVersionError: it is on another schema.
        StateUnavailableError: the state store does not answer.
    """
    from resources.llm.assembly import assemble, wrap_layers  # all layers: the types do not need them

    if monotonic is None:
        monotonic = time.monotonic if clock is time.time else clock
    timing = Timing(clock, monotonic, sleep, rng or random.Random())  # noqa: S311 - jitter is no secret
    core = await assemble(settings, open_state_store(settings.state), timing, providers)
    core.heartbeat.start(settings.lease_s, settings.flush_interval_s)
    client = LLMClient(core, wrap_layers(core))
    try:
        yield client
    finally:
        await client.close()
