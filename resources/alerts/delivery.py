"""Telling each hook each thing: at least once, across processes, restarts and days without the hook.

What is to be told is written down in one transaction: which keys it is about, so that nobody tells them again, and the
message itself. Sending comes after that. A message that was not taken, or of which nobody knows, is sent again by a
later tick, with growing pauses; a process that dies between sending and writing that down makes one arrive twice. Every
message carries an id that stays the same, as `Idempotency-Key` and in its JSON, by which a receiver knows it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from domain.identity import content_id
from resources.alerts.alert import Alert
from resources.alerts.sinks import NotDeliveredError, Sink
from resources.database.repositories import alert_deliveries, alerts
from resources.database.repositories.alert_deliveries import Delivery
from resources.database.session import Database

_log = logging.getLogger(__name__)

Compose = Callable[[set[str]], Alert]

FIRST_PAUSE = timedelta(seconds=30)
LONGEST_PAUSE = timedelta(hours=1)
MOST_ATTEMPTS = 36
"""About thirty hours: a hook that is away over a night, or a day, is told when it comes back."""

LEASE = timedelta(minutes=5)
"""Longer than one tick can take; a message whose sender died is sent again after it."""

MOST_AT_ONCE = 20
HOOK_GONE_AFTER = timedelta(days=3)


def tell(
    database: Database, sinks: Sequence[Sink], kind: str, keys: Sequence[str], compose: Compose, now: datetime
) -> None:
    """See that every hook is told of those of `keys` that it was not told of, in one message; `deliver` sends it.

    Args:
        compose: makes the message from the keys that it is to be about.

    Raises:
        DatabaseUnavailableError: nothing is written down; the next tick may try again.
    """
    for sink in sinks:
        own = {f"{sink.name}|{key}": key for key in keys}
        with database.session(read_only=True) as session:
            new = set(own) - alerts.known(session, own)
        if new:
            _write_down(database, sink, kind, {one: own[one] for one in new}, compose, now)


def _write_down(
    database: Database, sink: Sink, kind: str, new: dict[str, str], compose: Compose, now: datetime
) -> None:
    # Composed before the transaction: it may read hundreds of runs, and a writer of SQLite keeps all others waiting.
    alert = compose(set(new.values()))
    with database.session() as session:
        claimed = alerts.claim(session, kind, new, now)
        if not claimed:
            return
        if claimed != set(new):  # another process was faster with a part of them
            alert = compose({new[one] for one in claimed})
        delivery = Delivery(
            id=content_id([sink.name, *sorted(claimed)]),
            sink=sink.name,
            kind=kind,
            keys=sorted(claimed),
            message=alert.as_json(),
            attempts=0,
            created_at=now,
            next_try_at=now,
            delivered_at=None,
            problem=None,
        )
        alert_deliveries.add(session, delivery)


def deliver(database: Database, sinks: Sequence[Sink], now: datetime) -> int:
    """Send what waits for these hooks and whose time has come, oldest first; how many messages were taken.

    A hook that does not take one is left alone until a later tick: the others would only wait for its time limit.

    Raises:
        DatabaseUnavailableError: what was sent since is sent again, with its id.
    """
    with database.session() as session:
        for one in alert_deliveries.give_up_others(session, [sink.name for sink in sinks], now - HOOK_GONE_AFTER):
            _log.error("an alert of kind %s for %s was given up: no such hook is configured (%s)", *_named(one))
    return sum(_deliver_to(database, sink, now) for sink in sinks)


def _deliver_to(database: Database, sink: Sink, now: datetime) -> int:
    for taken in range(MOST_AT_ONCE):
        with database.session() as session:
            one = alert_deliveries.take(session, sink.name, now, now + LEASE)
        if one is None or not _send(database, sink, one, now):
            return taken
    return MOST_AT_ONCE


def _send(database: Database, sink: Sink, one: Delivery, now: datetime) -> bool:
    attempts = one.attempts + 1
    try:
        sink.send(Alert.from_json(one.message), one.id)
    except NotDeliveredError as error:
        again = now + pause_after(attempts) if attempts < MOST_ATTEMPTS else None
        with database.session() as session:
            alert_deliveries.failed(session, one.id, attempts, again, str(error))
        if again is None:
            _log.error("an alert of kind %s for %s was given up after its last try (%s): %s", *_named(one), error)
        else:
            _log.warning("an alert of kind %s for %s is tried again later (%s): %s", *_named(one), error)
        return False
    with database.session() as session:
        alert_deliveries.delivered(session, one.id, attempts, now)
        alerts.delivered(session, one.keys, now)
    return True


def pause_after(attempts: int) -> timedelta:
    """How long a message rests after so many tries: 30 s, then twice as long each time, an hour at most."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempts - 1, 16))


def _named(one: Delivery) -> tuple[str, str, str]:
    return one.kind, one.sink, one.id[:12]
