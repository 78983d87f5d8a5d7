"""A loopback OpenAI-compatible provider in a process of its own, which keeps its own invoice (`meter.py`).

It can be slow, fail, limit rates, leave out or falsify usage, answer at too great length, and break answers off, each
at random with a seed. Use it as

    with start_provider(Behaviour(latency_s=0.2)) as provider:
        ...  # send to provider.base_url with any key
        provider.behave(Behaviour(drop_share=0.1))
        provider.invoice()
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks.meter import PRICE, Behaviour, InvoiceLine, Meter, Visit
from benchmarks.wire import Connection, allow_many_sockets

__all__ = ["PRICE", "ROOT", "Behaviour", "InvoiceLine", "ProviderProcess", "Visit", "start_provider"]

ROOT = Path(__file__).parents[1]


class ProviderProcess:
    """The provider's process, seen from outside."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.root = f"http://127.0.0.1:{port}"
        self.base_url = f"{self.root}/v1"

    def behave(self, behaviour: Behaviour) -> None:
        """Treat later requests so."""
        self._ask("/behaviour", json.dumps(asdict(behaviour)).encode())

    def invoice(self) -> list[InvoiceLine]:
        """Every line so far, in the order of arrival."""
        return [InvoiceLine(**line) for line in self._ask("/invoice")]

    def visits(self) -> list[Visit]:
        """Every request that was answered so far, billed or not, in the order of the answers."""
        return [Visit(*visit) for visit in self._ask("/visits")]

    def counts(self) -> dict[str, int]:
        """`requests`, `billed`, `nano_usd`, `running` and `peak_running` so far."""
        return self._ask("/counts")

    def settled_counts(self) -> dict[str, int]:
        """`counts` once no request is running and nothing more arrives from sockets of the dead."""
        before, now = {}, self.counts()
        while now != before or now["running"]:
            time.sleep(0.1)
            before, now = now, self.counts()
        return now

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        with urllib.request.urlopen(urllib.request.Request(self.root + path, data=body), timeout=120) as reply:
            return json.load(reply)


@contextmanager
def start_provider(behaviour: Behaviour | None = None, seed: int = 1) -> Iterator[ProviderProcess]:
    """A running provider; it ends with the block."""
    command = [sys.executable, "-m", "benchmarks.provider", "--seed", str(seed)]
    command += ["--behaviour", json.dumps(asdict(behaviour or Behaviour()))]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield ProviderProcess(process, int(process.stdout.readline()))
        finally:
            process.terminate()


async def _serve(behaviour: Behaviour, seed: int) -> None:
    meter = Meter(behaviour, seed)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(meter.handle), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    # The parent holds the other end of stdin: when it dies, however it dies, so does this process.
    await loop.run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serve until stdin closes; prints the port."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--behaviour", default="{}", help="JSON object of Behaviour's fields")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything that happens at random")
    options = parser.parse_args()
    allow_many_sockets()
    asyncio.run(_serve(replace(Behaviour(), **json.loads(options.behaviour)), options.seed))


if __name__ == "__main__":
    main()
