"""Waiting out an open breaker or an absent state store: one row scouts, the others rest."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from domain.errors import StateUnavailableError, UnansweredError
from resources.batch_inference.stopping import Stop

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]

FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 60.0


class Outage:
    """Keeps hundreds of rows from asking every few seconds whether the provider is back: each refusal is a ledger line.

    Args:
        sleep: waits between two tries of the scout.
    """

    def __init__(self, sleep: Sleep = asyncio.sleep) -> None:
        self._sleep = sleep
        self._over: asyncio.Event | None = None

    async def ask(self, ask: Callable[[], Awaitable[T]], stop: Stop) -> T | None:
        """What `ask` gives once it is let through; None where `stop` was requested first.

        Raises:
            Exception: whatever `ask` raises that is no outage.
        """
        pause = FIRST_PAUSE_S
        scouting = False
        try:
            while True:
                if self._over is not None and not scouting:
                    await self._over.wait()
                    if stop.requested:
                        return None
                    continue
                try:
                    return await ask()
                except (UnansweredError, StateUnavailableError) as error:
                    if not _is_outage(error):
                        raise
                if self._over is None:
                    self._over, scouting = asyncio.Event(), True
                if scouting:
                    await self._rest(pause, stop)
                    pause = min(2 * pause, LONGEST_PAUSE_S)
                if stop.requested:
                    return None
        finally:
            if scouting and self._over is not None:
                self._over.set()
                self._over = None

    async def _rest(self, seconds: float, stop: Stop) -> None:
        while seconds > 0 and not stop.requested:
            await self._sleep(min(1.0, seconds))
            seconds -= 1.0


def _is_outage(error: UnansweredError | StateUnavailableError) -> bool:
    return isinstance(error, StateUnavailableError) or error.reason == "circuit_open"
