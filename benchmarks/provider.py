"""A loopback OpenAI-compatible provider in a process of its own, which keeps its own invoice.

It imports nothing of the product: tokens, prices and the bill are worked out here, from the bytes that arrived. It can
be slow, fail, limit rates, leave out or falsify usage, and break answers off, each at random with a seed. Use it as

    with start_provider(Behaviour(latency_s=0.2)) as provider:
        ...  # send to provider.base_url with any key
        provider.behave(Behaviour(drop_share=0.1))
        provider.invoice()
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.wire import Connection, Reply

ROOT = Path(__file__).parents[1]
INPUT_NANO_USD = 150
OUTPUT_NANO_USD = 600
# The same prices as the product's settings take them.
PRICE = {"input_per_million": "0.15", "output_per_million": "0.60"}


@dataclass(frozen=True)
class Behaviour:
    """How requests are treated. Shares are probabilities from 0 to 1, tried in the order of the fields.

    Attributes:
        latency_s: seconds from request to answer; the bill is written before them.
        jitter_s: up to so many seconds more, at random.
        requests_per_minute: beyond it 429 with a Retry-After, unbilled; None is unlimited.
        error_share: answer 500 without running the model; unbilled.
        drop_share: run and bill, then close the connection without an answer.
        truncate_share: run and bill, then close the connection in the middle of the answer.
        silent_share: leave usage out of the answer.
        lie_share: report twice the true output tokens (the invoice has the true ones).
        dead: answer 500 to everything.
        answer: the text that is given, as far as `max_tokens` lets it.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    requests_per_minute: int | None = None
    error_share: float = 0.0
    drop_share: float = 0.0
    truncate_share: float = 0.0
    silent_share: float = 0.0
    lie_share: float = 0.0
    dead: bool = False
    answer: str = "the customer asks for a refund"


@dataclass(frozen=True)
class InvoiceLine:
    """One billed request: the id the client was told, the first word of its last message, nano-USD, epoch seconds."""

    request_id: str
    key: str
    nano_usd: int
    received_at: float


class Meter:
    """The provider itself."""

    def __init__(self, behaviour: Behaviour, seed: int) -> None:
        self.behaviour = behaviour
        self.invoice: list[InvoiceLine] = []
        self.arrivals: list[float] = []
        self.running = 0
        self.peak_running = 0
        self._random = random.Random(seed)
        self._admitted: deque[float] = deque()

    async def handle(self, method: str, path: str, body: bytes) -> Reply:
        """Answer one HTTP request."""
        if (method, path) == ("POST", "/v1/chat/completions"):
            self.arrivals.append(time.time())
            self.running += 1
            self.peak_running = max(self.peak_running, self.running)
            try:
                return await self._complete(json.loads(body))
            finally:
                self.running -= 1
        if (method, path) == ("GET", "/invoice"):
            return _json_reply([asdict(line) for line in self.invoice])
        if (method, path) == ("GET", "/counts"):
            return _json_reply(self._counts())
        if (method, path) == ("GET", "/arrivals"):
            return _json_reply(self.arrivals)
        if (method, path) == ("POST", "/behaviour"):
            self.behaviour = Behaviour(**json.loads(body))
            return _json_reply({})
        return Reply(404, b"{}")

    def _counts(self) -> dict[str, int]:
        return {
            "requests": len(self.arrivals),
            "billed": len(self.invoice),
            "nano_usd": sum(line.nano_usd for line in self.invoice),
            "running": self.running,
            "peak_running": self.peak_running,
        }

    async def _complete(self, body: dict[str, Any]) -> Reply:
        behaviour = self.behaviour
        if behaviour.requests_per_minute is not None and not self._within_rate(behaviour.requests_per_minute):
            return Reply(429, b'{"error":{"message":"slow down"}}', (("Retry-After", "1"),))
        fails = behaviour.dead or self._happens(behaviour.error_share)
        answer = None if fails else self._run(body, behaviour)
        seconds = behaviour.latency_s + behaviour.jitter_s * self._random.random()
        if seconds > 0:
            await asyncio.sleep(seconds)
        if answer is None:
            return Reply(500, b'{"error":{"message":"the model is away"}}')
        if self._happens(behaviour.drop_share):
            return Reply(200, answer, cut_at=0)
        if self._happens(behaviour.truncate_share):
            return Reply(200, answer, cut_at=len(answer) // 2)
        return Reply(200, answer)

    def _run(self, body: dict[str, Any], behaviour: Behaviour) -> bytes:
        """Answer and bill."""
        messages = body["messages"]
        input_tokens = sum(len(message["content"].split()) for message in messages) + 3
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or 4096
        words = behaviour.answer.split()
        said = words[:limit]
        request_id = f"chatcmpl-{len(self.invoice)}"
        price = input_tokens * INPUT_NANO_USD + len(said) * OUTPUT_NANO_USD
        key = messages[-1]["content"].split(" ", 1)[0]
        self.invoice.append(InvoiceLine(request_id, key, price, time.time()))
        completion = {
            "id": request_id,
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": " ".join(said), "refusal": None},
                    "finish_reason": "stop" if len(said) == len(words) else "length",
                }
            ],
        }
        if not self._happens(behaviour.silent_share):
            told = len(said) * 2 if self._happens(behaviour.lie_share) else len(said)
            completion["usage"] = {
                "prompt_tokens": input_tokens,
                "completion_tokens": told,
                "total_tokens": input_tokens + told,
                "prompt_tokens_details": {"cached_tokens": 0},
            }
        return json.dumps(completion).encode()

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share

    def _within_rate(self, requests_per_minute: int) -> bool:
        now = time.monotonic()
        while self._admitted and self._admitted[0] <= now - 60:
            self._admitted.popleft()
        if len(self._admitted) >= requests_per_minute:
            return False
        self._admitted.append(now)
        return True


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

    def arrivals(self) -> list[float]:
        """Epoch seconds at which each request arrived, billed or not."""
        return self._ask("/arrivals")

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
        with urllib.request.urlopen(urllib.request.Request(self.root + path, data=body), timeout=30) as reply:
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


def _json_reply(value: Any) -> Reply:
    return Reply(200, json.dumps(value).encode())


def main() -> None:
    """Serve until stdin closes; prints the port."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--behaviour", default="{}", help="JSON object of Behaviour's fields")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything that happens at random")
    options = parser.parse_args()
    asyncio.run(_serve(replace(Behaviour(), **json.loads(options.behaviour)), options.seed))


if __name__ == "__main__":
    main()
