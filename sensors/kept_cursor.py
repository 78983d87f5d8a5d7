"""Long cursors: kept on the Dagster instance, with only a reference to them in the sensor's ticks.

Dagster writes a sensor's cursor into the row of every tick. That of a thousand tasks is 300 kB; four ticks a minute
would fill the instance with two gigabytes a day that all say the same.
"""

from hashlib import sha256

import dagster as dg

SLOTS = ("0", "1")


class KeptCursor:
    """The text that a cursor stands for. The newest two are kept: the daemon may die before it takes the new one over.

    Args:
        owner: whose it is; one per sensor and what it watches.
        cursor: as the sensor's context gives it. A text of JSON stands for itself.
    """

    def __init__(self, instance: dg.DagsterInstance, owner: str, cursor: str | None) -> None:
        self._store = instance.daemon_cursor_storage
        self._owner = owner
        self._cursor = cursor or ""

    def load(self) -> str | None:
        """The text; None where there is none, or what there is belongs to another cursor."""
        if self._cursor.startswith("{"):
            return self._cursor
        slot, _, digest = self._cursor.partition(":")
        key = self._key(slot)
        text = self._store.get_cursor_values({key}).get(key) if slot in SLOTS else None
        return text if text is not None and _digest(text) == digest else None

    def keep(self, text: str) -> str:
        """Keep `text`; the cursor that stands for it, which is the present one where nothing changed."""
        slot, _, digest = self._cursor.partition(":")
        if slot in SLOTS and digest == _digest(text):
            return self._cursor
        other = SLOTS[slot == SLOTS[0]]
        self._store.set_cursor_values({self._key(other): text})
        return f"{other}:{_digest(text)}"

    def _key(self, slot: str) -> str:
        return f"promptory/{self._owner}/{slot}"


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
