"""A process that tells one thing, and dies at the worst moment: before it sends, or when it has sent."""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime

from resources.alerts.alert import Alert
from resources.alerts.delivery import deliver, tell
from resources.alerts.sinks import WebhookSink
from resources.database.session import open_database

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)


class DyingSink(WebhookSink):
    """Kills its own process."""

    def send(self, alert: Alert, key: str) -> None:
        if sys.argv[3] == "after":
            WebhookSink.send(self, alert, key)
        os.kill(os.getpid(), signal.SIGKILL)


def message(keys: set[str]) -> Alert:
    return Alert("drift", "warning", f"about {sorted(keys)}", NOW)


if __name__ == "__main__":
    database = open_database(sys.argv[1])
    sinks = (DyingSink(sys.argv[2]),)
    tell(database, sinks, "drift", ["one"], message, NOW)
    deliver(database, sinks, NOW)
