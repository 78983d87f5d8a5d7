"""Forks workers that run a provider batch and die where they are told to.

Reads one plan per line (JSON) from stdin and writes how the worker ended: `{"status": …}`, negative for a signal. What
a worker says itself goes to the file `worker.log` of its folder. `python -m batches.provider_worker vertex` loads
Google's libraries first, so that no worker has to.
"""

from __future__ import annotations

import asyncio
import http.client
import importlib
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.orm import Session
from upath import UPath

from resources.batch_inference.worker import open_worker
from resources.database.engine import READ_ONLY
from resources.database.session import open_database
from resources.llm import CoreSettings, open_client
from resources.llm.providers.http1_connection import Http1Connection
from resources.llm.providers.openai import OpenAIProvider
from resources.llm.providers.openai_batches import OpenAIBatches
from resources.llm.providers.vertex.batches import VertexBatches
from resources.llm.state.redis import RedisStateStore
from resources.llm.state.sqlite import SqliteStateStore

MOST_ROUNDS = 200
GRACE_S = 0.3
API_STEPS = ("upload", "find_file", "create", "find", "statuses", "results", "cancel", "discard")
LIBRARIES = {"openai": (), "vertex": ("resources.llm.providers.vertex.batch_session",)}


@dataclass(frozen=True)
class Plan:
    """One worker.

    Attributes:
        die_at: kill itself at this moment, before or after a durable write or a request to the provider; empty: never.
        die_nth: when the moment comes for the n-th time.
        die_after_s: kill itself so many seconds after the start; 0: never.
    """

    folder: str
    batch_id: str
    settings: dict[str, Any]
    die_at: str = ""
    die_nth: int = 1
    die_after_s: float = 0.0


class Moments:
    """Names and counts what is durable or leaves the process.

    `before` and `after` are around a step; `within` is when its request was sent and its answer has not come, so that
    nobody knows whether it was obeyed. The commit of a transaction is told by the step before it.
    """

    def __init__(self, die_at: str, die_nth: int) -> None:
        self.counts: Counter[str] = Counter()
        self._die_at = die_at
        self._die_nth = die_nth
        self._last = "start"
        self._begun: list[str] = []
        self._lock = threading.Lock()

    def come(self, moment: str) -> None:
        with self._lock:
            self.counts[moment] += 1
            if moment == self._die_at and self.counts[moment] == self._die_nth:
                os.kill(os.getpid(), signal.SIGKILL)

    def arm(self) -> None:
        """Watch commits of the database, steps of the state store, and what a provider is asked."""
        event.listen(Session, "before_commit", lambda session: self._commit(session, "before"))
        event.listen(Session, "after_commit", lambda session: self._commit(session, "after"))
        for holder, names in (
            (SqliteStateStore, ("admit", "settle")),
            (RedisStateStore, ("admit", "settle")),
            (OpenAIBatches, API_STEPS),
            (VertexBatches, API_STEPS),
            (OpenAIProvider, ("send",)),
        ):
            for name in names:
                setattr(holder, name, self._around(getattr(holder, name), name))
        self._watch_sending()

    def _commit(self, session: Session, when: str) -> None:
        if not session.get_bind().get_execution_options().get(READ_ONLY):
            self.come(f"{when} commit after {self._last}")

    def _around(self, step: Any, name: str) -> Any:
        async def counted(*arguments: Any, **named: Any) -> Any:
            self.come(f"before {name}")
            self._begun.append(name)
            try:
                result = await step(*arguments, **named)
            finally:
                self._begun.remove(name)
            self.come(f"after {name}")
            self._last = name
            return result

        return counted

    def _watch_sending(self) -> None:
        """Our own client and `requests`, which Google's clients use, tell when a whole request has left."""
        exchange, getresponse = Http1Connection.exchange, http.client.HTTPConnection.getresponse

        def exchanging(connection: Http1Connection, *arguments: Any) -> Any:
            answer = exchange(connection, *arguments)
            self._sent()
            return answer

        def receiving(connection: http.client.HTTPConnection) -> http.client.HTTPResponse:
            self._sent()
            return getresponse(connection)

        Http1Connection.exchange = exchanging
        http.client.HTTPConnection.getresponse = receiving

    def _sent(self) -> None:
        self.come(f"within {self._begun[-1] if self._begun else 'start'}")


async def work(plan: Plan) -> str:
    """Run the batch until it no longer waits for its provider; its state then."""
    folder = Path(plan.folder)
    database = open_database(plan.settings["ledger"])
    try:
        for _ in range(MOST_ROUNDS):
            async with (
                open_client(CoreSettings.parse(plan.settings)) as client,
                open_worker(
                    database, UPath(folder / "storage"), client, concurrency=8, lease_s=2.0, grace_s=GRACE_S
                ) as worker,
            ):
                record = await worker.run(plan.batch_id)
            if record.state != "waiting":
                return record.state
            await asyncio.sleep(0.02)
        return "waiting"
    finally:
        database.dispose()


def become(plan: Plan) -> None:
    """Be the worker, in the process that was forked for it."""
    log = os.open(str(Path(plan.folder) / "worker.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    moments = Moments(plan.die_at, plan.die_nth)
    moments.arm()
    if plan.die_after_s:
        threading.Timer(plan.die_after_s, os.kill, (os.getpid(), signal.SIGKILL)).start()
    status = 1
    try:
        state = asyncio.run(work(plan))
        (Path(plan.folder) / "worker.json").write_text(json.dumps({"state": state, "moments": moments.counts}))
        status = 0
    except BaseException:
        traceback.print_exc()
        raise
    finally:
        os._exit(status)


def main() -> None:
    for name in LIBRARIES[sys.argv[1]]:
        importlib.import_module(name)
    os.write(1, b"ready\n")
    for line in sys.stdin:
        plan = Plan(**json.loads(line))
        pid = os.fork()
        if pid == 0:
            become(plan)
        began = time.monotonic()
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            if time.monotonic() - began > 90:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.005)
        os.write(1, json.dumps({"status": os.waitstatus_to_exitcode(ended[1])}).encode() + b"\n")


if __name__ == "__main__":
    main()
