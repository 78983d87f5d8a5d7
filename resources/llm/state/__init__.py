"""State stores of the execution core: one contract, a store per reach (process, machine, many machines).

Only the one that a process uses is loaded.
"""

from __future__ import annotations

from pathlib import Path

from domain.errors import ConfigurationError
from resources.llm.state.protocol import StateStore

SQLITE_PREFIX = "sqlite:///"
KNOWN_URLS = "`memory`, `sqlite:///relative/path.db`, `sqlite:////absolute/path.db` or `redis://host:port/db`"


def open_state_store(url: str) -> StateStore:
    """The store that `url` names. It still has to be opened.

    `memory` (a new one each time), `sqlite:///path`, `redis://host:port/db` or `rediss://…` (TLS).

    Raises:
        ConfigurationError: `url` names no store.
    """
    if url == "memory":
        from resources.llm.state.memory import MemoryStateStore

        return MemoryStateStore()
    path = url.removeprefix(SQLITE_PREFIX)
    if path != url and path not in ("", ":memory:") and "?" not in path:
        from resources.llm.state.sqlite import SqliteStateStore

        return SqliteStateStore(Path(path))
    # The rest of the URL may hold a password.
    scheme = url.partition(":")[0]
    if scheme in ("redis", "rediss"):
        from resources.llm.state.redis import RedisStateStore
        from resources.llm.state.redis_address import parse_redis_url

        return RedisStateStore(parse_redis_url(url))
    raise ConfigurationError(f"The {scheme!r} URL names no state store.", field="state", mend=f"Use {KNOWN_URLS}.")
