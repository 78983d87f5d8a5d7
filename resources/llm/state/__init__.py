"""State stores of the execution core: one contract, a store per reach (process, machine)."""

from __future__ import annotations

from pathlib import Path

from domain.errors import ConfigurationError
from resources.llm.state.memory import MemoryStateStore
from resources.llm.state.protocol import StateStore
from resources.llm.state.sqlite import SqliteStateStore

SQLITE_PREFIX = "sqlite:///"
KNOWN_URLS = "`memory`, `sqlite:///relative/path.db` or `sqlite:////absolute/path.db`"


def open_state_store(url: str) -> StateStore:
    """The store that `url` names: `memory` (a new one each time) or `sqlite:///path`. It still has to be opened.

    Raises:
        ConfigurationError: `url` names no store.
    """
    if url == "memory":
        return MemoryStateStore()
    path = url.removeprefix(SQLITE_PREFIX)
    if path != url and path not in ("", ":memory:") and "?" not in path:
        return SqliteStateStore(Path(path))
    # The rest of the URL may hold a password.
    scheme = url.partition(":")[0]
    if scheme in ("redis", "rediss"):
        raise ConfigurationError("The redis state store is not built in yet.", field="state", mend=f"Use {KNOWN_URLS}.")
    raise ConfigurationError(f"The {scheme!r} URL names no state store.", field="state", mend=f"Use {KNOWN_URLS}.")
