"""What people are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Alert:
    """One message. It holds names, ids and figures; never rows, answers or keys.

    Attributes:
        kind: `run_failure`, `budget` or `drift`.
        title: one line that says it all.
        lines: more of it, a line each.
        facts: the same for programs.
        link: where to look, if it is known where the UI is.
    """

    kind: str
    severity: Severity
    title: str
    at: datetime
    lines: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)
    link: str | None = None

    def as_json(self) -> dict[str, Any]:
        """For a webhook of one's own."""
        return {
            "kind": self.kind,
            "severity": self.severity,
            "title": self.title,
            "lines": list(self.lines),
            "facts": dict(self.facts),
            "link": self.link,
            "at": self.at.isoformat(),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Alert:
        """The alert of `as_json`.

        Raises:
            KeyError, ValueError: it is none.
        """
        return cls(
            kind=value["kind"],
            severity=value["severity"],
            title=value["title"],
            at=datetime.fromisoformat(value["at"]),
            lines=tuple(value["lines"]),
            facts=value["facts"],
            link=value["link"],
        )

    def as_slack(self) -> dict[str, Any]:
        """For an incoming webhook of Slack, and of Mattermost, Rocket.Chat and others that take the same JSON.

        `text` is what notifications show; sections hold at most 3,000 characters.
        """
        title = _escaped(self.title)
        shown = f"<{self.link}|{title}>" if self.link else title
        body = "\n".join([f"*{shown}*", *(f"• {_escaped(line)}" for line in self.lines)])
        return {"text": title, "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": body[:3000]}}]}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
