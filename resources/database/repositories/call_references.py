"""Finding the call a person means by its id, or by the beginning of one."""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from domain.errors import InputError, NotFoundError
from resources.database.repositories.references import MIN_PREFIX_LENGTH
from resources.database.tables import AttemptRow, CallRow

ID_LENGTH = 32
_SHOWN = 5
_PREFIX = re.compile(rf"[0-9a-f]{{{MIN_PREFIX_LENGTH},{ID_LENGTH}}}")


def resolve_call_id(session: Session, reference: str) -> str:
    """The id of the call that `reference` names: a full id, or at least 6 first digits of one.

    A call whose process was killed has attempts and no row of its own; it is found all the same.

    Raises:
        NotFoundError: the ledger has no such call.
        InputError: it is the beginning of several ids.
    """
    if _exists(session, reference):
        return reference
    found = _by_prefix(session, reference) if _PREFIX.fullmatch(reference) else []
    if len(found) > 1:
        more = " …" if len(found) > _SHOWN else ""
        raise InputError(
            f"{reference!r} is the beginning of several calls' ids: {', '.join(found[:_SHOWN])}{more}.",
            field="call_id",
            mend="Write more digits.",
        )
    if not found:
        raise NotFoundError(
            f"The ledger has no call {reference!r}.",
            field="call_id",
            mend=f"Write the id in full or at least its first {MIN_PREFIX_LENGTH} digits; `promptory call` prints it.",
        )
    return found[0]


def _exists(session: Session, call_id: str) -> bool:
    return any(
        session.scalar(select(table.call_id).where(table.call_id == call_id).limit(1)) is not None
        for table in (CallRow, AttemptRow)
    )


def _by_prefix(session: Session, prefix: str) -> list[str]:
    """At most `_SHOWN` + 1 ids. A range, unlike LIKE, uses the index under every collation."""
    first, last = prefix.ljust(ID_LENGTH, "0"), prefix.ljust(ID_LENGTH, "f")
    found: set[str] = set()
    for table in (CallRow, AttemptRow):
        column = table.call_id
        within = select(column).where(column.between(first, last)).distinct().order_by(column).limit(_SHOWN + 1)
        found.update(session.scalars(within))
    return sorted(found)
