"""The provider itself: how it treats requests, what it answers, and the invoice it keeps.

It imports nothing of the product: tokens, prices and the bill are worked out here, from the bytes that arrived.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import deque
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.sorter import Sorter
from benchmarks.wire import Reply

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
        busy_share: answer 429 with a Retry-After at random; unbilled.
        retry_after_s: what those two ask for.
        error_share: answer 500 without running the model; unbilled.
        drop_share: run and bill, then close the connection without an answer.
        truncate_share: run and bill, then close the connection in the middle of the answer.
        silent_share: leave usage out of the answer.
        overstate_share: report twice the true output tokens (the invoice has the true ones).
        understate_share: report half of the true output tokens (the invoice has the true ones).
        overlong_share: ignore `max_tokens`, give the answer ten times over, and bill and report all of it.
        dead: answer 500 to everything.
        answer: the text that is given, as far as `max_tokens` lets it.
        labels: a JSON file of labels by text: then `sorter.Sorter` answers instead.
    """

    latency_s: float = 0.0
    jitter_s: float = 0.0
    requests_per_minute: int | None = None
    busy_share: float = 0.0
    retry_after_s: float = 1.0
    error_share: float = 0.0
    drop_share: float = 0.0
    truncate_share: float = 0.0
    silent_share: float = 0.0
    overstate_share: float = 0.0
    understate_share: float = 0.0
    overlong_share: float = 0.0
    dead: bool = False
    answer: str = "the customer asks for a refund"
    labels: str | None = None


@dataclass(frozen=True)
class InvoiceLine:
    """One billed request.

    Attributes:
        request_id: the id the client was told.
        key: the first word of its last message.
        model: as the request named it.
        received_at: epoch seconds.
        tokens: input and output tokens that were billed.
    """

    request_id: str
    key: str
    model: str
    nano_usd: int
    received_at: float
    tokens: int


class Visit(NamedTuple):
    """One request, billed or not: epoch seconds from its arrival to its answer, and the answer's status."""

    received_at: float
    answered_at: float
    status: int


class Meter:
    """Answers requests and writes them down."""

    def __init__(self, behaviour: Behaviour, seed: int) -> None:
        self.behaviour = behaviour
        self.invoice: list[InvoiceLine] = []
        self.visits: list[Visit] = []
        self.requests = 0
        self.running = 0
        self.peak_running = 0
        self._sorters: dict[str, Sorter] = {}
        self._random = random.Random(seed)
        self._admitted: deque[float] = deque()

    async def handle(self, method: str, path: str, body: bytes) -> Reply:
        """Answer one HTTP request."""
        if (method, path) == ("POST", "/v1/chat/completions"):
            return await self._visited(json.loads(body))
        if (method, path) == ("GET", "/invoice"):
            return _json_reply([asdict(line) for line in self.invoice])
        if (method, path) == ("GET", "/counts"):
            return _json_reply(self._counts())
        if (method, path) == ("GET", "/visits"):
            return _json_reply(self.visits)
        if (method, path) == ("POST", "/behaviour"):
            self.behaviour = Behaviour(**json.loads(body))
            return _json_reply({})
        return Reply(404, b"{}")

    async def _visited(self, body: dict[str, Any]) -> Reply:
        received_at = time.time()
        self.requests += 1
        self.running += 1
        self.peak_running = max(self.peak_running, self.running)
        try:
            reply = await self._complete(body)
        finally:
            self.running -= 1
        self.visits.append(Visit(received_at, time.time(), reply.status))
        return reply

    def _counts(self) -> dict[str, int]:
        return {
            "requests": self.requests,
            "billed": len(self.invoice),
            "nano_usd": sum(line.nano_usd for line in self.invoice),
            "running": self.running,
            "peak_running": self.peak_running,
        }

    async def _complete(self, body: dict[str, Any]) -> Reply:
        behaviour = self.behaviour
        if self._is_too_much(behaviour):
            return Reply(429, _error("slow down"), (("Retry-After", f"{behaviour.retry_after_s:g}"),))
        fails = behaviour.dead or self._happens(behaviour.error_share)
        answer = None if fails else self._run(body, behaviour)
        seconds = behaviour.latency_s + behaviour.jitter_s * self._random.random()
        if seconds > 0:
            await asyncio.sleep(seconds)
        if answer is None:
            return Reply(500, _error("the model is away"))
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
        text = self._text(body, behaviour)
        words = text.split()
        said = words * 10 if self._happens(behaviour.overlong_share) else words[:limit]
        given = text if said == words else " ".join(said)
        line = InvoiceLine(
            request_id=f"chatcmpl-{len(self.invoice)}",
            key=messages[-1]["content"].split(" ", 1)[0],
            model=body["model"],
            nano_usd=input_tokens * INPUT_NANO_USD + len(said) * OUTPUT_NANO_USD,
            received_at=time.time(),
            tokens=input_tokens + len(said),
        )
        self.invoice.append(line)
        completion = {
            "id": line.request_id,
            "object": "chat.completion",
            "created": int(line.received_at),
            "model": line.model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": given, "refusal": None},
                    "finish_reason": "stop" if len(said) >= len(words) else "length",
                }
            ],
        }
        if not self._happens(behaviour.silent_share):
            completion["usage"] = _usage(input_tokens, self._told(len(said), behaviour))
        return json.dumps(completion).encode()

    def _text(self, body: dict[str, Any], behaviour: Behaviour) -> str:
        if behaviour.labels is None:
            return behaviour.answer
        if behaviour.labels not in self._sorters:
            self._sorters[behaviour.labels] = Sorter.read(Path(behaviour.labels))
        return self._sorters[behaviour.labels].answer(body)

    def _told(self, output_tokens: int, behaviour: Behaviour) -> int:
        """The output tokens that are reported."""
        if self._happens(behaviour.overstate_share):
            return output_tokens * 2
        if self._happens(behaviour.understate_share):
            return output_tokens // 2
        return output_tokens

    def _happens(self, share: float) -> bool:
        return share > 0 and self._random.random() < share

    def _is_too_much(self, behaviour: Behaviour) -> bool:
        limit = behaviour.requests_per_minute
        if self._happens(behaviour.busy_share):
            return True
        if limit is None:
            return False
        now = time.monotonic()
        while self._admitted and self._admitted[0] <= now - 60:
            self._admitted.popleft()
        if len(self._admitted) >= limit:
            return True
        self._admitted.append(now)
        return False


def _usage(input_tokens: int, output_tokens: int) -> dict[str, Any]:
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def _error(message: str) -> bytes:
    return json.dumps({"error": {"message": message}}).encode()


def _json_reply(value: Any) -> Reply:
    return Reply(200, json.dumps(value).encode())
