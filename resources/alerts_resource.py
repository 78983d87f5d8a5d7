"""Dagster resource: where people are told."""

import dagster as dg
from pydantic import Field

from domain.errors import ConfigurationError
from resources.alerts.sinks import LogSink, Sink, WebhookSink


class AlertsResource(dg.ConfigurableResource):
    """The hooks of alerts. URLs are keys: they are given as `dg.EnvVar`."""

    log: bool = Field(default=False, description="Write alerts to the log, as logger promptory.alerts.")
    webhook_url: str | None = Field(default=None, description="URL that takes alerts as JSON.")
    slack_url: str | None = Field(
        default=None, description="Incoming webhook of Slack, or of what takes the same JSON."
    )
    ui_url: str | None = Field(default=None, description="Where the Dagster UI is, for links to runs.")

    def sinks(self) -> tuple[Sink, ...]:
        """All that are configured.

        Raises:
            ConfigurationError: a URL is none.
        """
        sinks: list[Sink] = [LogSink()] if self.log else []
        if self.webhook_url:
            sinks.append(WebhookSink(_checked(self.webhook_url, "PROMPTORY_ALERT_WEBHOOK_URL")))
        if self.slack_url:
            sinks.append(WebhookSink(_checked(self.slack_url, "PROMPTORY_ALERT_SLACK_URL"), "slack"))
        return tuple(sinks)


def _checked(url: str, variable: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ConfigurationError(
            "the URL of an alert hook must begin with https:// or http://",
            field=variable,
            mend="correct the environment variable.",
        )
    return url
