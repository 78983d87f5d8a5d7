"""At least once: what a hook does not take is kept and tried again; what it took comes again after a kill alone."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from alerts.delivery_worker import NOW, message
from servers.webhook import Webhook, webhook_server

from resources.alerts.delivery import HOOK_GONE_AFTER, LEASE, MOST_ATTEMPTS, deliver, pause_after, tell
from resources.alerts.sinks import Sink, WebhookSink
from resources.database.repositories import alert_deliveries
from resources.database.session import Database, open_database
from resources.database.tables import AlertDeliveryRow


def say(database: Database, sinks: tuple[Sink, ...], *keys: str, now: datetime = NOW) -> int:
    tell(database, sinks, "drift", keys, message, now)
    return deliver(database, sinks, now)


def waiting(database: Database) -> int:
    with database.session(read_only=True) as session:
        return session.query(AlertDeliveryRow).filter(AlertDeliveryRow.next_try_at.is_not(None)).count()


def test_a_hook_that_fails_twice_takes_it_once_with_the_same_key(database: Database, hook: Webhook) -> None:
    sinks = (WebhookSink(hook.url),)
    hook.answers = [500, None]
    assert say(database, sinks, "one") == 0
    for seconds in range(0, 600, 10):
        deliver(database, sinks, NOW + timedelta(seconds=seconds))
    assert len(hook.keys) == 3
    assert len(set(hook.keys)) == 1
    assert hook.received[-1]["id"] == hook.keys[0]
    assert hook.received[-1]["title"] == "about ['one']"
    assert waiting(database) == 0


def test_a_hook_that_never_takes_it_is_given_up_in_the_log(
    database: Database, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    sinks, now = (WebhookSink(hook.url),), NOW
    hook.answers = [503] * 1000
    tell(database, sinks, "drift", ["one"], message, now)
    with caplog.at_level(logging.ERROR):
        while waiting(database):
            deliver(database, sinks, now)
            now += timedelta(minutes=5)
    assert len(hook.keys) == MOST_ATTEMPTS
    assert timedelta(hours=24) < now - NOW < timedelta(hours=36)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "was given up after its last try" in told
    assert "HTTP 503" in told
    assert "secret-token" not in told
    hook.answers = []
    say(database, sinks, "one", now=now + timedelta(days=1))
    assert hook.received == []


def test_one_hook_that_is_down_holds_up_no_other(database: Database, hook: Webhook) -> None:
    with webhook_server() as other:
        sinks = (WebhookSink(hook.url), WebhookSink(other.url, "slack"))
        hook.answers = [500]
        tell(database, sinks, "drift", ["one"], message, NOW)
        tell(database, sinks, "drift", ["two"], message, NOW)
        assert deliver(database, sinks, NOW) == 2
        assert len(hook.keys) == 1  # the second one would only wait for the first one's time limit
        assert len(other.received) == 2
        assert deliver(database, sinks, NOW + timedelta(minutes=1)) == 2
        assert len(other.received) == len(hook.received) == 2
        assert len({*hook.keys, *other.keys}) == 4


def test_what_waits_for_a_hook_that_was_taken_away_is_given_up(
    database: Database, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    tell(database, (WebhookSink(hook.url),), "drift", ["one"], message, NOW)
    deliver(database, (), NOW + HOOK_GONE_AFTER)
    assert waiting(database) == 1
    with caplog.at_level(logging.ERROR):
        deliver(database, (), NOW + HOOK_GONE_AFTER + timedelta(minutes=1))
    assert waiting(database) == 0
    assert "no such hook is configured" in caplog.text


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_many_processes_send_one_message(
    request: pytest.FixtureRequest, database: Database, hook: Webhook, tmp_path: Path, kind: str
) -> None:
    on_postgres = kind == "postgresql"
    url = request.getfixturevalue("upgraded_postgres_url") if on_postgres else f"sqlite:///{tmp_path}/promptory.db"

    def tick(number: int, now: datetime = NOW) -> int:
        own = open_database(url)
        try:
            return say(own, (WebhookSink(hook.url),), "shared", f"own-{number}", now=now)
        finally:
            own.dispose()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(tick, range(6)))
    tick(0, NOW + LEASE)
    told = [key for one in hook.received for key in one["title"].split("'")[1::2]]
    assert sorted(told) == ["own-0", "own-1", "own-2", "own-3", "own-4", "own-5", "shared"]


@pytest.mark.parametrize(("moment", "arrives"), [("before", 1), ("after", 2)])
def test_a_killed_sender_loses_nothing(
    database: Database, hook: Webhook, tmp_path: Path, moment: str, arrives: int
) -> None:
    """Killed before it sends, the message comes once; killed before it notes the sending, twice with one id."""
    command = [sys.executable, "-m", "alerts.delivery_worker", f"sqlite:///{tmp_path}/promptory.db", hook.url, moment]
    folders = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    ended = subprocess.run(command, env={"PYTHONPATH": ":".join(folders)}, check=False)
    assert ended.returncode == -signal.SIGKILL
    sinks = (WebhookSink(hook.url),)

    assert say(database, sinks, "one", now=NOW + LEASE / 2) == 0  # it may still be under way
    assert say(database, sinks, "one", now=NOW + LEASE) == 1
    assert say(database, sinks, "one", now=NOW + LEASE * 2) == 0

    assert len(hook.received) == arrives
    assert len(set(hook.keys)) == 1
    assert waiting(database) == 0


def test_pauses_grow_to_an_hour() -> None:
    pauses = [pause_after(attempts) for attempts in range(1, 60)]
    assert pauses == sorted(pauses)
    assert pauses[0] == timedelta(seconds=30)
    assert pauses[-1] == timedelta(hours=1)


def test_old_messages_are_dropped(database: Database, hook: Webhook) -> None:
    say(database, (WebhookSink(hook.url),), "one")
    with database.session() as session:
        assert alert_deliveries.forget(session, NOW) == 0
        assert alert_deliveries.forget(session, NOW + timedelta(days=1)) == 1
