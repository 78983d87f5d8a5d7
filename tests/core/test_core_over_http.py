"""The whole core against a loopback provider that bills by itself; and where its key must never appear."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from core.asking import ask, charged_to
from core.conftest import rows
from servers.billing import Tariff
from servers.openai_server import Fault, OpenAIServer

from domain.errors import ProviderError
from resources.database.tables.ledger import AttemptRow, CallRow
from resources.llm import CoreSettings, open_client
from resources.llm.events import Event

KEY = "sk-canary-5190-do-not-leak"
ROOT = Path(__file__).parents[2]


def _settings(server: OpenAIServer, ledger_url: str, state: str, key: str = KEY) -> CoreSettings:
    return CoreSettings.parse(
        {
            "state": state,
            "ledger": ledger_url,
            "endpoints": {"openai": {"base_url": server.base_url, "api_key": key}},
            "prices": {"openai/m": {"input_per_million": "0.15", "output_per_million": "0.60"}},
            "budgets": {"day": "1"},
            "retry": {"first_backoff_s": 0.01, "max_backoff_s": 0.01},
            "rate_limit_pause_s": 0.01,
        }
    )


def _contents(folder: Path) -> list[tuple[str, bytes]]:
    return [(file.name, file.read_bytes()) for file in folder.iterdir()]


async def test_the_ledger_equals_the_invoice(ledger_url: str, state_url: str) -> None:
    faults = [Fault(status=500), Fault(status=429), None, None, Fault(cut="mid_body"), None, None]
    server = OpenAIServer(
        behaviour=lambda body: "word " * (len(body["messages"][0]["content"]) % 7),
        tariffs={"m": Tariff("0.15", "0.60")},
        faults=lambda index, _body: faults[index % len(faults)],
        api_key=KEY,
    )
    with server:
        async with open_client(_settings(server, ledger_url, state_url)) as llm:
            questions = [ask("x" * n, model="openai/m", max_output_tokens=30) for n in range(60)]
            done = await asyncio.gather(*(llm.complete(question, charged_to("day")) for question in questions))
            (day,) = await llm.budgets()
        invoice = server.invoice_nano_usd()
    attempts = rows(ledger_url, AttemptRow)
    ambiguous = {a.attempt_id: a for a in attempts if a.charge == "ambiguous"}
    certain = sum(a.cost_nano_usd for a in attempts if a.charge == "settled")
    cut_off = sum(line.nano_usd for line in server.invoice if faults[line.index % len(faults)] is not None)
    assert certain == invoice - cut_off
    assert cut_off <= sum(a.cost_nano_usd for a in ambiguous.values())
    assert len(server.bodies) == len(attempts)
    assert (day.settled_nano_usd, day.ambiguous_nano_usd) == (certain, sum(a.cost_nano_usd for a in ambiguous.values()))
    assert sum(call.cost_nano_usd for call in rows(ledger_url, CallRow)) == sum(a.cost_nano_usd for a in attempts)
    assert sum(answer.cost_nano_usd for answer in done) == sum(a.cost_nano_usd for a in attempts)


async def test_an_absurd_count_of_tokens_is_none_and_stops_no_ledger(ledger_url: str, state_url: str) -> None:
    absurd = Fault(reported_usage={"prompt_tokens": 9, "completion_tokens": 2**64 - 1})
    with OpenAIServer(faults=lambda index, _body: absurd if index < 2 else None, api_key=KEY) as server:
        async with open_client(_settings(server, ledger_url, state_url)) as llm:
            priced = await llm.complete(ask(model="openai/m"), charged_to("day"))
            unpriced = await llm.complete(ask(model="openai/nameless"), charged_to("org"))
            sound = await llm.complete(ask(model="openai/m"), charged_to("day"))
            day, _ = await llm.budgets()
    first, second, third = rows(ledger_url, AttemptRow)
    assert [row.call_id for row in (first, second, third)] == [priced.call_id, unpriced.call_id, sound.call_id]
    assert (first.charge, first.cost_nano_usd) == ("ambiguous", first.reserved_nano_usd)
    assert (second.cost_nano_usd, second.output_tokens) == (0, second.reserved_output_tokens)
    assert (day.ambiguous_nano_usd, day.reserved_nano_usd) == (first.reserved_nano_usd, 0)
    assert len(rows(ledger_url, CallRow)) == 3


async def test_the_key_is_sent_and_shown_nowhere_else(
    ledger_url: str, state_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shown: list[str] = []
    with OpenAIServer(api_key="another key") as server, caplog.at_level(logging.DEBUG):
        settings = _settings(server, ledger_url, state_url)
        events: list[Event] = []
        async with open_client(settings) as llm:
            llm.subscribe(events.append)
            with pytest.raises(ProviderError) as caught:
                await llm.complete(ask(model="openai/m", temperature=0.0), charged_to("day"))
            with pytest.raises(ProviderError):
                await llm.check_endpoints()
            shown += [repr(llm), repr(llm._core), repr(await llm.health()), repr(llm._core.endpoints._made)]
        assert server.authorizations[0] == f"Bearer {KEY}"
    error: BaseException | None = caught.value
    while error is not None:
        shown += [str(error), repr(error), repr(error.args)]
        error = error.__cause__ or error.__context__
    shown += [repr(settings), repr(events), caplog.text]
    assert not [text for text in shown if KEY in text]
    assert not [file for file, content in _contents(tmp_path) if KEY.encode() in content]


def test_importing_the_core_is_light() -> None:
    heavy = [
        "pandas",
        "dspy",
        "torch",
        "transformers",
        "litellm",
        "google.cloud.aiplatform",
        "google.genai",
        "dagster",
        "matplotlib",
        "scipy",
    ]
    code = f"import sys, resources.llm; print([name for name in {heavy} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
