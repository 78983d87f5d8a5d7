"""Which partitions a person means: all, names, patterns, ranges of days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase

from domain.errors import NotFoundError
from domain.identity import content_id

Selection = Sequence[str] | str
"""`all`, one key, pattern or range, or several."""

ALL = "all"
RANGE = ".."


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, as written: asked again, it is the same backfill, whatever is fresh by then."""

    assets: tuple[str, ...]
    partitions: tuple[str, ...]
    force: bool

    @property
    def digest(self) -> str:
        """SHA-256 of all of it."""
        return content_id([list(self.assets), list(self.partitions), self.force])


def make_request(assets: Sequence[str], partitions: Selection, force: bool) -> Request:
    """The request in its canonical form."""
    return Request(tuple(assets), tuple(sorted(set(_as_written(partitions)))), force)


def select(partitions: Selection, order: Sequence[str]) -> tuple[str, ...]:
    """The keys of `order` that are meant, in its order: `all`, keys, patterns (`support_*`), ranges (`a..b`).

    Raises:
        NotFoundError: one names nothing.
    """
    if partitions == ALL:
        return tuple(order)
    meant: set[str] = set()
    for written in _as_written(partitions):
        meant.update(_meant_by(written, order))
    return tuple(key for key in order if key in meant)


def _as_written(partitions: Selection) -> Sequence[str]:
    # A string is a sequence of strings, too: its letters.
    return (partitions,) if isinstance(partitions, str) else partitions


def _meant_by(written: str, order: Sequence[str]) -> list[str]:
    start, dots, end = written.partition(RANGE)
    if dots:
        first, last = _one(start, order), _one(end, order)
        found = list(order[order.index(first) : order.index(last) + 1])
    elif any(sign in written for sign in "*?["):
        found = [key for key in order if fnmatchcase(key, written)]
    else:
        found = [_one(written, order)]
    if not found:
        raise NotFoundError(f"{written!r} names no partition", field="partitions", mend=_mend(written, order))
    return found


def _one(key: str, order: Sequence[str]) -> str:
    if key not in order:
        raise NotFoundError(f"there is no partition {key!r}", field="partitions", mend=_mend(key, order))
    return key


def _mend(written: str, order: Sequence[str]) -> str:
    close = get_close_matches(written, order, n=1)
    if close:
        return f"did you mean `{close[0]}`?"
    if not order:
        return "there is none yet."
    return f"there are {len(order)}, from {order[0]} to {order[-1]}."
