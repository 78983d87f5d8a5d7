"""A process killed in the middle of its calls: what it may have spent is booked one by one, and the ledger is whole."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from core.conftest import rows
from servers.billing import Tariff
from servers.openai_server import Fault, OpenAIServer

from resources.database.tables.ledger import AttemptRow, CallRow
from resources.llm import CoreSettings, open_client
from resources.llm.state.protocol import ScopeState

ROOT = Path(__file__).parents[2]
WORKER = Path(__file__).with_name("kill_worker.py")
CALLERS = 8


def _wait_for(server: OpenAIServer, requests: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while len(server.invoice) < requests:
        assert process.poll() is None, "the worker ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.005)


async def _reopen(settings: CoreSettings) -> tuple[ScopeState, ...]:
    async with open_client(settings) as llm:
        await llm.flush()
        return await llm.budgets()


@pytest.mark.parametrize("requests", [1, 60, 150])
def test_what_a_killed_process_left_open_is_booked_singly(tmp_path: Path, ledger_url: str, requests: int) -> None:
    state = f"sqlite:///{tmp_path / 'state.db'}"
    slow = Fault(latency_s=0.03)
    with OpenAIServer(tariffs={"m": Tariff("0.15", "0.60")}, faults=lambda _index, _body: slow) as server:
        command = [sys.executable, str(WORKER), state, ledger_url, server.base_url]
        with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, cwd=tmp_path) as process:
            _wait_for(server, requests, process)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        time.sleep(0.1)  # what the dead process had put into its sockets still arrives
        invoice = server.invoice_nano_usd()
        billed = len(server.invoice)
    settings = CoreSettings.parse({"state": state, "ledger": ledger_url, "budgets": {"day": "1", "task:t": "1"}})
    scopes = asyncio.run(_reopen(settings))
    attempts = rows(ledger_url, AttemptRow)
    calls = {call.call_id: call for call in rows(ledger_url, CallRow)}
    ambiguous = [attempt for attempt in attempts if attempt.charge == "ambiguous"]
    certain = sum(attempt.cost_nano_usd for attempt in attempts if attempt.charge != "ambiguous")
    assert {attempt.outcome for attempt in ambiguous} <= {"lost"}
    assert len(ambiguous) <= CALLERS
    assert billed <= len(attempts) <= billed + CALLERS
    assert certain <= invoice <= certain + sum(attempt.cost_nano_usd for attempt in ambiguous)
    for scope in scopes:
        assert scope.settled_nano_usd == certain
        assert scope.ambiguous_nano_usd == sum(attempt.cost_nano_usd for attempt in ambiguous)
        assert scope.reserved_nano_usd == 0
    for attempt in attempts:
        call = calls[attempt.call_id]
        assert call.status == ("lost" if attempt in ambiguous else "ok")
        assert call.row_id
        assert call.task == "t"
    assert len({call.row_id for call in calls.values()}) == len(calls) == len(attempts)
