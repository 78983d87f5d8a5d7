"""Where alerts go. A URL is a key: whoever has it can write there, so it is in no error and no log."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Literal, Protocol

from resources.alerts.alert import Alert

_log = logging.getLogger("promptory.alerts")

TIMEOUT_S = 10.0
_LEVELS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class NotDeliveredError(Exception):
    """An alert did not arrive, for certain: it may be sent again."""


class DeliveryUnknownError(Exception):
    """Nobody can say whether an alert arrived: it is not sent again."""


class Sink(Protocol):
    """One way to people."""

    @property
    def name(self) -> str:
        """What its deliveries are remembered by."""
        ...

    def send(self, alert: Alert) -> None:
        """Deliver.

        Raises:
            NotDeliveredError: it was refused, or nobody was there.
            DeliveryUnknownError: it was sent and not answered.
        """
        ...


@dataclass(frozen=True, slots=True)
class LogSink:
    """The process's log, as logger `promptory.alerts`."""

    name: str = "log"

    def send(self, alert: Alert) -> None:
        """Write one record."""
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

    def send(self, alert: Alert) -> None:
        """POST it; only 2xx counts, redirects are not followed."""
        import requests

        body = alert.as_json() if self.form == "json" else alert.as_slack()
        try:
            answer = requests.post(self.url, json=body, timeout=self.timeout_s, allow_redirects=False)
        except (requests.ConnectTimeout, requests.exceptions.InvalidURL, requests.exceptions.MissingSchema):
            raise NotDeliveredError(f"{self.name}: nobody answers there") from None
        except requests.ReadTimeout:
            raise DeliveryUnknownError(f"{self.name}: sent, and not answered in {self.timeout_s:.0f} s") from None
        except requests.ConnectionError as error:
            # requests says the same of a refused connection and of one that broke off after the request was sent.
            if _was_refused(error):
                raise NotDeliveredError(f"{self.name}: the connection was refused") from None
            raise DeliveryUnknownError(f"{self.name}: the connection broke off") from None
        except requests.RequestException as error:
            raise NotDeliveredError(f"{self.name}: {type(error).__name__}") from None
        if not 200 <= answer.status_code < 300:
            raise NotDeliveredError(f"{self.name}: HTTP {answer.status_code}")


def _was_refused(error: BaseException) -> bool:
    seen: BaseException | None = error
    while seen is not None:
        reason = getattr(seen.args[0], "reason", None) if seen.args else None
        if isinstance(reason, Exception) and type(reason).__name__ in ("NewConnectionError", "NameResolutionError"):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
