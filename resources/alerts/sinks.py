"""Where alerts go. A URL is a key: whoever has it can write there, so it is in no error and no log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Literal, Protocol

from resources.alerts.alert import Alert

_log = logging.getLogger("promptory.alerts")

TIMEOUT_S = 10.0
IDEMPOTENCY_HEADER = "Idempotency-Key"
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class NotDeliveredError(Exception):
    """An alert did not arrive, or nobody can say whether it did: it is sent again."""


class Sink(Protocol):
    """One way to people."""

    @property
    def name(self) -> str:
        """What its deliveries are remembered by."""
        ...

    def send(self, alert: Alert, key: str) -> None:
        """Deliver; `key` is the same at every try.

        Raises:
            NotDeliveredError: it was refused, nobody was there, or nobody answered.
        """
        ...


@dataclass(frozen=True, slots=True)
class LogSink:
    """The process's log, as logger `promptory.alerts`."""

    name: str = "log"

    def send(self, alert: Alert, key: str) -> None:
        """Write one record."""
        del key
        _log.log(_LEVELS[alert.severity], "%s%s", alert.title, "".join(f"\n  {line}" for line in alert.lines))


@dataclass(frozen=True, slots=True)
class WebhookSink:
    """A POST of JSON to a URL: the alert's own, or what Slack and its like take."""

    url: str = field(repr=False)
    form: Literal["json", "slack"] = "json"
    timeout_s: float = TIMEOUT_S

    @property
    def name(self) -> str:
        """The form: one URL of each is configured."""
        return "webhook" if self.form == "json" else "slack"

    def send(self, alert: Alert, key: str) -> None:
        """POST it; only 2xx counts, redirects are not followed."""
        import requests

        body = {"id": key, **alert.as_json()} if self.form == "json" else alert.as_slack()
        headers = {IDEMPOTENCY_HEADER: key}
        try:
            answer = requests.post(self.url, json=body, headers=headers, timeout=self.timeout_s, allow_redirects=False)
        except requests.ReadTimeout:
            raise NotDeliveredError(f"{self.name}: sent, and not answered in {self.timeout_s:.0f} s") from None
        except requests.RequestException as error:
            # Its text holds the URL.
            raise NotDeliveredError(f"{self.name}: {type(error).__name__}") from None
        if not 200 <= answer.status_code < 300:
            raise NotDeliveredError(f"{self.name}: HTTP {answer.status_code}")
