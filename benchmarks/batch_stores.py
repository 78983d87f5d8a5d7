"""What a batch under kills lives on: files, or a PostgreSQL and a Valkey of their own that sync every write."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.provider import ROOT
from benchmarks.stores import RedisStore, SqliteStore, Store
from benchmarks.valkey import ValkeyServer


@dataclass(frozen=True)
class BatchStores:
    """URL of an empty database, and an empty state store."""

    database: str
    state: Store


@contextmanager
def open_batch_stores(state: str) -> Iterator[Callable[[Path], BatchStores]]:
    """Makes stores of kind `sqlite` (files in the given folder) or `redis`; servers end with the block."""
    if state == "sqlite":
        yield lambda folder: BatchStores(f"sqlite:///{folder / 'promptory.db'}", SqliteStore(folder))
        return
    sys.path.insert(0, str(ROOT / "tests"))
    from servers.postgres import PostgresServer

    numbers = itertools.count(1)
    with ExitStack() as stack:
        postgres = stack.enter_context(PostgresServer())
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            postgres.execute(f"ALTER SYSTEM SET {setting} = on")
        postgres.execute("SELECT pg_reload_conf()")
        valkey = stack.enter_context(ValkeyServer(keeps=True))

        def make(_folder: Path) -> BatchStores:
            store = RedisStore(valkey, f"batch{next(numbers)}")
            stack.callback(store.close)
            return BatchStores(postgres.url(postgres.create()), store)

        yield make
