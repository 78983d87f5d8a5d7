"""Both protocols of providers' batch APIs, for one test: how a hall of each is made, and what its server saw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from batches.conftest import PRICE, TARIFFS, Floor, label_of, number_in
from servers.billing import InvoiceLine, Tariff
from servers.openai_batch_server import JobPlan, OpenAIBatchServer
from servers.vertex_batch_server import VertexBatchServer, VertexPlan

from resources.llm import CoreSettings

Body = dict[str, Any]
Server = OpenAIBatchServer | VertexBatchServer
# Whole; cut short; with lines that are refused; with a line of which nothing is told and one that is not counted.
OPENAI_PLANS = (
    JobPlan(),
    JobPlan(end="expired", answered=7),
    JobPlan(statuses={1: 400, 3: 500}),
    JobPlan(left_out=frozenset({2}), no_usage=frozenset({4})),
)
VERTEX_PLANS = (
    VertexPlan(),
    VertexPlan("EXPIRED", answered=7),
    VertexPlan(refused=frozenset({1}), failing=frozenset({3})),
    VertexPlan(left_out=frozenset({2}), no_usage=frozenset({4})),
)


def number_of(request: Body) -> int:
    """The number of the crate that a request of Vertex AI is about."""
    return int(request["contents"][-1]["parts"][0]["text"].rpartition(" ")[2])


@dataclass(frozen=True)
class Vendor:
    """One protocol.

    Attributes:
        endpoint: the name of its endpoint in the settings.
        rest: how rows are asked again that a job left out.
        serve: a server that waits so many seconds before and after it obeys.
        asked: for every request of every job, the call it was tagged with.
        tried: the crate of every request that was answered, as often as it was.
        billed_as: the name by which the ledger knows a line of the invoice.
    """

    endpoint: str
    model: str
    rest: str
    serve: Callable[[float], Server]
    asked: Callable[[Any], list[str]]
    tried: Callable[[Any], list[int]]
    billed_as: Callable[[InvoiceLine], str]


def _serve_openai(delay_s: float) -> OpenAIBatchServer:
    server = OpenAIBatchServer(
        lambda body: label_of(number_in(body)),
        TARIFFS,
        plans=lambda number: OPENAI_PLANS[number % len(OPENAI_PLANS)],
    )
    server.delay_s = delay_s
    return server


def _openai_tried(server: OpenAIBatchServer) -> list[int]:
    bodies = {line["custom_id"]: line["body"] for job in server.jobs.values() for line in job.lines}
    in_jobs = [line.request_id.removeprefix("batch-") for line in server.invoice]
    return [number_in(body) for body in server.requests] + [number_in(bodies[one]) for one in in_jobs if one in bodies]


def _serve_vertex(delay_s: float) -> VertexBatchServer:
    tariffs = {"gemini-2.5-flash": Tariff(PRICE["input_per_million"], PRICE["output_per_million"])}
    # Only the first jobs are odd: no row may be left over so often that it is asked directly, over another protocol.
    server = VertexBatchServer(
        lambda request: label_of(number_of(request)),
        tariffs,
        plans=lambda number: VERTEX_PLANS[number] if number < len(VERTEX_PLANS) else VertexPlan(),
    )
    server.delay_s = delay_s
    return server


OPENAI = Vendor(
    endpoint="openai",
    model="openai/scripted",
    rest="direct",
    serve=_serve_openai,
    asked=lambda server: [line["custom_id"] for job in server.jobs.values() for line in job.lines],
    tried=_openai_tried,
    billed_as=lambda line: f"chatcmpl-batch-{line.index}" if line.request_id.startswith("batch-") else line.request_id,
)
VERTEX = Vendor(
    endpoint="vertex",
    model="vertex/gemini-2.5-flash",
    rest="provider",
    serve=_serve_vertex,
    asked=lambda server: [
        line["request"]["labels"]["promptory_call"] for job in server.jobs.values() for line in job.lines
    ],
    tried=lambda server: [number_of(request) for request in server.requests],
    billed_as=lambda line: line.request_id,
)
VENDORS = {"openai": OPENAI, "vertex": VERTEX}


class Hall(Floor):
    """A floor on stores of its own, before the server of one vendor."""

    vendor: Vendor = OPENAI
    state: str = ""

    def __post_init__(self) -> None:
        pass

    def settings(self, **more: Any) -> CoreSettings:
        return CoreSettings.parse(
            {
                "state": self.state,
                "ledger": self.ledger_url,
                "endpoints": {self.vendor.endpoint: self.server.endpoint},
                "prices": {self.vendor.model: PRICE},
                "retry": {"first_backoff_s": 0.001, "max_backoff_s": 0.002},
                "flush_interval_s": 0.05,
                "lease_s": 2.0,
                "budgets": {"day": "1", "task:crates": "1"},
                **more,
            }
        )

    def plain_settings(self) -> dict[str, Any]:
        """The settings with the key in clear, for another process."""
        plain = self.settings().model_dump(mode="json")
        plain["endpoints"] = {self.vendor.endpoint: self.server.endpoint}
        return plain
