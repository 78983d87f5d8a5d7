"""What this process has open at the server, so that it can tell a server that forgot."""

from __future__ import annotations

from resources.llm.state.protocol import HOLD, Intent


class OwnIntents:
    """Intents from their admission to their settlement. Those of batch jobs are the database's to give back."""

    def __init__(self) -> None:
        self._open: dict[str, Intent] = {}
        self._lost: set[str] = set()

    def admitted(self, intent: Intent) -> None:
        """The server holds it."""
        if not intent.owner.startswith(HOLD):
            self._open[intent.attempt_id] = intent

    def settled(self, attempt_id: str) -> None:
        """The server holds it no more."""
        self._open.pop(attempt_id, None)

    def server_forgot(self) -> None:
        """The server lost its data, and with them all that is open."""
        self._lost.update(self._open)

    def is_lost(self, attempt_id: str) -> bool:
        """Whether the server was not told again yet."""
        return attempt_id in self._lost

    def lost(self) -> list[Intent]:
        """What the server has to be told again."""
        return [self._open[attempt_id] for attempt_id in sorted(self._lost)]

    def told_again(self, intents: list[Intent]) -> None:
        """The server holds them anew."""
        self._lost.difference_update(intent.attempt_id for intent in intents)
