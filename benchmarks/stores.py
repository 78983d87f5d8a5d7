"""The state stores that are put to the test, and a look into them from outside, past the product's own code."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.valkey import ValkeyServer

STATES = ("sqlite", "redis")
_NAMESPACE = "money"


@dataclass(frozen=True)
class Scope:
    """A budget window's totals, nano-USD."""

    name: str
    settled: int
    ambiguous: int
    reserved: int
    frozen: bool

    @property
    def spent(self) -> int:
        """What is gone, or may be."""
        return self.settled + self.ambiguous

    @property
    def used(self) -> int:
        return self.spent + self.reserved


class Store(Protocol):
    """A state store seen from outside."""

    url: str

    def scopes(self) -> list[Scope]:
        """Every budget window, as one look sees them together."""
        ...

    def pending(self) -> tuple[int, int]:
        """Open intents, and records the ledger does not hold yet."""
        ...

    def leaders(self) -> list[int]:
        """Process ids of those who fetch an answer that others wait for."""
        ...


class SqliteStore:
    """The state file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "state.db"
        self.url = f"sqlite:///{self._path}"

    def scopes(self) -> list[Scope]:
        if not self._path.exists():
            return []
        rows = self._rows("SELECT scope, settled, ambiguous, reserved, frozen FROM scopes ORDER BY scope")
        return [
            Scope(name, settled, ambiguous, reserved, bool(frozen))
            for name, settled, ambiguous, reserved, frozen in rows
        ]

    def pending(self) -> tuple[int, int]:
        ((intents, records),) = self._rows("SELECT (SELECT count(*) FROM intents), (SELECT count(*) FROM outbox)")
        return intents, records

    def leaders(self) -> list[int]:
        return [pid for (pid,) in self._rows("SELECT pid FROM cache_leads JOIN owners USING (owner)")]

    def _rows(self, query: str) -> list[tuple]:
        connection = sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=60)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()


class RedisStore:
    """A namespace on a running server."""

    def __init__(self, server: ValkeyServer, namespace: str = _NAMESPACE) -> None:
        from redis import Redis

        self._namespace = namespace
        self.url = server.url(namespace)
        self._client = Redis.from_url(self.url.partition("?")[0])

    def scopes(self) -> list[Scope]:
        totals = {field.decode(): value for field, value in self._hash("scopes").items()}
        names = sorted({field[2:] for field in totals})
        return [
            Scope(name, *(int(totals.get(f"{kind}:{name}", 0)) for kind in "sar"), frozen=f"f:{name}" in totals)
            for name in names
        ]

    def pending(self) -> tuple[int, int]:
        with self._client.pipeline(transaction=True) as both:
            both.hlen(self._key("intents"))
            both.hlen(self._key("outbox"))
            intents, records = both.execute()
        return intents, records

    def leaders(self) -> list[int]:
        return [int(owner.rsplit("-", 2)[1]) for owner in self._leading()]

    def leading_hosts(self) -> list[str]:
        """The host names of those who fetch an answer that others wait for."""
        return [owner.rsplit("-", 2)[0] for owner in self._leading()]

    def _leading(self) -> list[str]:
        # A lead is `until token owner`, an owner `host-pid-uuid`.
        return [value.decode().split(" ", 2)[2] for value in self._hash("leads").values()]

    def close(self) -> None:
        """Release the connections."""
        self._client.close()

    def _hash(self, name: str) -> dict[bytes, bytes]:
        return self._client.hgetall(self._key(name))

    def _key(self, name: str) -> str:
        return f"{{{self._namespace}}}:{name}"


@contextmanager
def open_store(state: str, folder: Path) -> Iterator[Store]:
    """The store of kind `sqlite` or `redis`: a file in `folder`, or a server that syncs every write and ends with the
    block."""
    if state == "sqlite":
        yield SqliteStore(folder)
        return
    with ValkeyServer(keeps=True) as server:
        store = RedisStore(server)
        try:
            yield store
        finally:
            store.close()
