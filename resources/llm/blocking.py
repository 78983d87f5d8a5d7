"""The same client for code without an event loop: it runs on a thread of its own, any thread may call it."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from resources.llm.client import LLMClient
from resources.llm.loop_thread import loop_thread
from resources.llm.opening import open_client
from resources.llm.settings import CoreSettings
from resources.llm.types import CallContext, Completion, Request

T = TypeVar("T")


class SyncClient:
    """Every method of `LLMClient`, blocking: `complete`, `health`, `budgets`, `set_cap`, `flush`, `subscribe`, …

    Subscribers are called on the client's own thread.
    """

    def __init__(self, client: LLMClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client = client
        self._loop = loop

    def complete(self, request: Request, context: CallContext | None = None) -> Completion:
        """`LLMClient.complete`, from any thread. An interrupted caller cancels its call."""
        return self._run(self._client.complete(request, context or CallContext()))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        method = getattr(self._client, name)

        @functools.wraps(method)
        def blocking(*args: Any, **kwargs: Any) -> Any:
            return self._run(_result_of(method, args, kwargs))

        return blocking

    def _run(self, step: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(step, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


@contextmanager
def open_client_sync(settings: CoreSettings, **options: Any) -> Iterator[SyncClient]:
    """`open_client` on a background thread; takes the same options.

    Raises:
        ConfigurationError: a setting is not usable.
        DatabaseUnavailableError: the ledger's database does not answer.
        SchemaVersionError: it is on another schema.
        StateUnavailableError: the state store does not answer.
    """
    opened = open_client(settings, **options)
    with loop_thread("promptory-llm") as loop:

        def run(step: Coroutine[Any, Any, T]) -> T:
            return asyncio.run_coroutine_threadsafe(step, loop).result()

        client = run(opened.__aenter__())
        try:
            yield SyncClient(client, loop)
        finally:
            run(opened.__aexit__(None, None, None))


async def _result_of(method: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    result = method(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result
