"""The whole core over providers other than OpenAI's: what is charged is what the peer behind them bills."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from core.asking import ask, charged_to
from core.conftest import rows
from servers.billing import Tariff
from servers.openai_server import OpenAIServer

from domain.errors import ConfigurationError
from resources.database.tables.ledger import AttemptRow
from resources.llm import CoreSettings, open_client

TARIFF = {"tiny": Tariff("0.15", "0.60")}
PRICE = {"input_per_million": "0.15", "output_per_million": "0.60"}


@contextmanager
def peer_of(kind: str) -> Iterator[Any]:
    if kind == "vertex":
        from servers.vertex_server import VertexServer

        with VertexServer(lambda _: "three words here", TARIFF) as vertex:
            yield vertex
    else:
        if find_spec("litellm") is None:
            pytest.skip("litellm is not installed")
        with OpenAIServer(lambda _: "three words here", TARIFF) as server:
            yield server


@pytest.mark.parametrize(("kind", "model"), [("vertex", "vertex/tiny"), ("litellm", "litellm/openai/tiny")])
async def test_the_charge_is_the_invoice(kind: str, model: str, ledger_url: str) -> None:
    with peer_of(kind) as server:
        settings = CoreSettings.parse(
            {
                "state": "memory",
                "ledger": ledger_url,
                "endpoints": {kind: server.endpoint},
                "prices": {model: PRICE},
                "budgets": {"day": "1"},
            }
        )
        async with open_client(settings) as llm:
            answers = [await llm.complete(ask(n, model=model), charged_to("day")) for n in ("a", "b c", "d e f")]
    charged = sum(answer.cost_nano_usd for answer in answers)
    assert charged == sum(line.nano_usd for line in server.invoice) > 0


async def test_a_setting_that_is_wrong_costs_nothing(ledger_url: str) -> None:
    model = "vertex/tiny"
    values = {
        "state": "memory",
        "ledger": ledger_url,
        "endpoints": {"vertex": {"base_url": "http://127.0.0.1:9", "location": "europe-west4"}},
        "prices": {model: PRICE},
        "budgets": {"day": "1"},
    }
    async with open_client(CoreSettings.parse(values)) as llm:
        with pytest.raises(ConfigurationError, match="no project is known"):
            await llm.complete(ask(model=model), charged_to("day"))
        await llm.flush()
        (scope,) = await llm.budgets()
        health = await llm.health()
    assert (scope.settled_nano_usd, scope.ambiguous_nano_usd, scope.reserved_nano_usd) == (0, 0, 0)
    assert health.overall == "healthy"
    (attempt,) = rows(ledger_url, AttemptRow)
    assert (attempt.outcome, attempt.charge, attempt.cost_nano_usd) == ("invalid_request", "free", 0)


async def test_a_model_in_this_process_is_free_once_its_price_says_so(ledger_url: str, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    from tiny_models import save_parrot

    model = f"huggingface/{save_parrot(tmp_path / 'parrot')}"
    values: dict[str, Any] = {"state": "memory", "ledger": ledger_url, "budgets": {"day": "0.01"}}
    async with open_client(CoreSettings.parse(values)) as llm:
        with pytest.raises(ConfigurationError, match="no known price"):
            await llm.complete(ask("hello", model=model, temperature=0.0), charged_to("day"))
    values["prices"] = {model: {"input_per_million": 0, "output_per_million": 0}}
    async with open_client(CoreSettings.parse(values)) as llm:
        answer = await llm.complete(ask("hello", model=model, temperature=0.0), charged_to("day"))
    assert (answer.text, answer.cost_nano_usd, answer.status) == ("delivery", 0, "ok")
