"""Tasks whose model is reached through an endpoint with a name of its own, from validation to promotion."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from cli.conftest import Workshop
from servers.billing import Tariff
from servers.openai_server import OpenAIServer

MODEL = "vllm-2/llama-3"
PRICE = {"input_per_million": "0.15", "output_per_million": "0.60"}


@dataclass(frozen=True)
class TwoServers:
    workshop: Workshop
    vllm: OpenAIServer
    other: OpenAIServer

    def configure(self, **changes: Any) -> None:
        endpoints = {
            "vllm-2": {"provider": "openai", "base_url": self.vllm.base_url, "api_key": "${VLLM_KEY}"},
            "other": {"provider": "openai", "base_url": self.other.base_url, "api_key": "${VLLM_KEY}"},
        }
        values = {"endpoints": endpoints, "prices": {MODEL: PRICE}, "budgets": {"day": 1}, **changes}
        (self.workshop.root / "promptory.yaml").write_text(json.dumps(values), encoding="utf-8")


@pytest.fixture
def two(workshop: Workshop, monkeypatch: pytest.MonkeyPatch) -> Iterator[TwoServers]:
    monkeypatch.setenv("VLLM_KEY", "test-key")
    with (
        OpenAIServer(lambda _: "billing", {"llama-3": Tariff("0.15", "0.60")}) as vllm,
        OpenAIServer(lambda _: "refund") as other,
    ):
        made = TwoServers(workshop, vllm, other)
        made.configure()
        workshop.write_task(lambda text: text.replace("offline/nearest", MODEL))
        yield made


def test_a_task_on_an_endpoint_of_its_own_name_runs_from_validation_to_promotion(two: TwoServers) -> None:
    workshop = two.workshop
    assert workshop.run("task", "validate").code == 0
    assert workshop.run("task", "validate", str(workshop.tasks / "tickets.yaml")).code == 0
    evaluated = workshop.run("evaluate", "tickets", "--json")
    assert evaluated.code == 0, evaluated.err
    called = workshop.run("call", "tickets", "--input", "text=Where is it?", "--json").value
    assert (called["answer"], called["model"]) == ("billing", MODEL)
    assert two.other.bodies == []
    spent = workshop.run("cost", "--by", "model", "--json").value["lines"]
    assert [(line["key"], line["spent_nano_usd"]) for line in spent] == [(MODEL, two.vllm.invoice_nano_usd())]
    assert two.vllm.invoice_nano_usd() > 0


def test_the_commands_around_it_know_the_endpoint(two: TwoServers) -> None:
    workshop = two.workshop
    load = workshop.run("load", "--requests", "5", "--rate", "500", "--json").value
    assert (load["model"], load["ok"]) == (MODEL, 5)
    assert workshop.run("health", "--check", "--json").value["endpoints"] == {"other": None, "vllm-2": None}
    assert workshop.run("price", MODEL, "--json").value["prices"][0]["from"] == "settings"
    assert workshop.run("breaker", "open", MODEL, "--json").value["model"] == MODEL
    assert workshop.run("optimize", "tickets", "--dry-run", "--json").value["model"] == MODEL
    drafted = workshop.run(
        "task", "init", "--from", "catalog/datasets/tickets.csv", "--input", "text", "--output", "label",
        "--name", "drafted", "--model", MODEL,
    )  # fmt: skip
    assert drafted.code == 0, drafted.err


def test_an_unknown_endpoint_is_one_error_that_names_the_known_ones(two: TwoServers) -> None:
    two.workshop.write_task(lambda text: text.replace("offline/nearest", "vlm/llama-3"))
    outcome = two.workshop.run("task", "validate")
    assert outcome.code == 2
    assert outcome.err.count("Error:") == 1
    assert "unknown endpoint 'vlm'" in outcome.err
    assert "openai/…, other/…, vertex/…, vllm-2/…" in outcome.err
    assert "prompt.model" in outcome.err
