"""Sending each thing once per sink, across processes and restarts."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from resources.alerts.alert import Alert
from resources.alerts.sinks import DeliveryUnknownError, NotDeliveredError, Sink
from resources.database.repositories import alerts
from resources.database.session import Database

_log = logging.getLogger(__name__)

Compose = Callable[[set[str]], Alert]


def tell(
    database: Database, sinks: Sequence[Sink], kind: str, keys: Sequence[str], compose: Compose, now: datetime
) -> bool:
    """Tell every sink about those of `keys` it has not been told about, in one message; whether all took it.

    A key is claimed before it is sent. A crash in between, or an answer that never comes, loses a message rather than
    sending it twice; a refusal gives the claim back, so that the next try may send it.

    Args:
        compose: makes the message from the keys that it is to be about.

    Raises:
        DatabaseUnavailableError: the claims cannot be written; nothing was sent.
    """
    arrived = [_tell_one(database, sink, kind, keys, compose, now) for sink in sinks]
    return all(arrived)


def _tell_one(database: Database, sink: Sink, kind: str, keys: Sequence[str], compose: Compose, now: datetime) -> bool:
    own = {f"{sink.name}|{key}": key for key in keys}
    with database.session() as session:
        claimed = alerts.claim(session, kind, own, now)
    if not claimed:
        return True
    problem = None
    try:
        sink.send(compose({own[one] for one in claimed}))
    except NotDeliveredError as error:
        _log.warning("an alert of kind %s was not taken: %s", kind, error)
        with database.session() as session:
            alerts.release(session, claimed)
        return False
    except DeliveryUnknownError as error:
        _log.warning("an alert of kind %s may not have arrived: %s", kind, error)
        problem = str(error)
    with database.session() as session:
        alerts.delivered(session, claimed, now, problem)
    return True
