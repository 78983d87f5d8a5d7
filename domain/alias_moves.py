"""What the moves of an alias say: whether a person holds it, and which version was there before."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

MoveKind = Literal["first", "gate", "hand", "override", "rollback", "release"]

# A person has spoken: the gate moves nothing until a person lets it again.
HOLDING: frozenset[MoveKind] = frozenset({"hand", "override", "rollback"})


class Move(Protocol):
    """One entry of an alias's history. A `release` moves nothing: it ends a hold."""

    @property
    def kind(self) -> MoveKind:
        """What made the entry."""
        ...

    @property
    def to_id(self) -> str:
        """The prompt version the alias points at from then on."""
        ...


def is_held(newest_first: Sequence[Move]) -> bool:
    """Whether the newest entry is a person's move, which the gate must not undo."""
    return bool(newest_first) and newest_first[0].kind in HOLDING


def version_before(newest_first: Sequence[Move]) -> str | None:
    """The prompt version a rollback goes to; None where there is none.

    A rollback takes the newest version off the pile instead of putting one on it, so that rolling back twice goes two
    versions back, and never forth to the one a person has just left.
    """
    pile: list[str] = []
    for move in reversed(newest_first):
        if move.kind == "rollback":
            del pile[-1:]
        elif move.kind != "release":
            pile.append(move.to_id)
    return pile[-2] if len(pile) > 1 else None
