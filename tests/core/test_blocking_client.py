from __future__ import annotations

import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from core.asking import ask, charged_to
from core.conftest import MODEL, PRICE, rows
from core.scripted import Reply, ScriptedProvider, VirtualTime

from domain.errors import ConfigurationError, FaultClass, ProviderError
from resources.database.tables.ledger import CallRow
from resources.llm import CoreSettings, open_client_sync
from resources.llm.events import Event


def _settings(ledger_url: str) -> CoreSettings:
    return CoreSettings.parse(
        {"state": "memory", "ledger": ledger_url, "prices": {MODEL: PRICE}, "budgets": {"day": 1}}
    )


def names_beside(others: set[threading.Thread]) -> set[str]:
    """Of the threads that there are now and were not before."""
    return {thread.name for thread in set(threading.enumerate()) - others}


def test_many_threads_share_one_client(ledger_url: str, provider: ScriptedProvider) -> None:
    with open_client_sync(_settings(ledger_url), providers={"scripted": provider}) as llm:
        with ThreadPoolExecutor(16) as pool:
            done = list(pool.map(lambda n: llm.complete(ask(str(n)), charged_to("day")), range(100)))
        assert {answer.status for answer in done} == {"ok"}
        assert llm.budgets()[0].settled_nano_usd == provider.billed_nano_usd
        assert llm.health().overall == "healthy"
    assert len(rows(ledger_url, CallRow)) == 100


def test_events_errors_and_the_end_come_through(ledger_url: str, provider: ScriptedProvider) -> None:
    others, events = set(threading.enumerate()), list[Event]()
    with open_client_sync(_settings(ledger_url), providers={"scripted": provider}) as llm:
        unsubscribe = llm.subscribe(events.append)
        provider.replies.append(Reply(fault=FaultClass.REFUSED))
        with pytest.raises(ProviderError):
            llm.complete(ask())
        assert len(events) == 2
        unsubscribe()
        llm.complete(ask())
        assert len(events) == 2
        with pytest.raises(AttributeError):
            llm.no_such_thing()
    assert provider.closed
    assert "promptory-llm" not in names_beside(others)


def test_an_interrupted_caller_cancels_its_call(ledger_url: str, provider: ScriptedProvider) -> None:
    main = threading.main_thread().ident or 0

    def is_waiting() -> bool:
        return sys._current_frames()[main].f_code is threading.Condition.wait.__code__

    def interrupt() -> None:
        while not (provider.sent and is_waiting()):
            threading.Event().wait(0.005)
        signal.pthread_kill(main, signal.SIGINT)

    provider.replies.append(Reply(hangs=True))
    with open_client_sync(_settings(ledger_url), providers={"scripted": provider}) as llm:
        threading.Thread(target=interrupt).start()
        with pytest.raises(KeyboardInterrupt):
            llm.complete(ask(), charged_to("day"))
        while provider.in_flight:
            threading.Event().wait(0.005)
        llm.flush()
        assert [row.status for row in rows(ledger_url, CallRow)] == ["cancelled"]


def test_a_client_that_cannot_open_leaves_no_thread(tmp_path) -> None:
    others = set(threading.enumerate())
    settings = CoreSettings.parse({"state": "memory", "ledger": "mysql://h/d"})
    with pytest.raises(ConfigurationError), open_client_sync(settings):
        raise AssertionError("it opened")
    assert "promptory-llm" not in names_beside(others)


def test_injected_time_is_passed_on(ledger_url: str, provider: ScriptedProvider, time: VirtualTime) -> None:
    client = open_client_sync(
        _settings(ledger_url), providers={"scripted": provider}, clock=time.clock, sleep=time.sleep
    )
    with client as llm:
        provider.replies.append(Reply(takes_s=1000.0))
        assert llm.complete(ask()).reason == "deadline"
