"""Finding the version a person means by `3`, `v3`, a full id or the beginning of one."""

from __future__ import annotations

import re

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from domain.errors import InputError, NotFoundError
from domain.identity import short_id
from resources.database.tables import DatasetVersionRow, PromptVersionRow

MIN_PREFIX_LENGTH = 6
ID_LENGTH = 64
_SHOWN = 10

_NUMBER = re.compile(r"v?(\d{1,9})")
_HEX = re.compile(rf"[0-9a-f]{{{MIN_PREFIX_LENGTH},{ID_LENGTH}}}")

VersionTable = type[DatasetVersionRow] | type[PromptVersionRow]


def is_version_number(reference: str) -> bool:
    """Whether `reference` reads as a version number (`3`, `v3`)."""
    return _NUMBER.fullmatch(reference) is not None


def find_version_id(session: Session, table: VersionTable, task: str, reference: str) -> str | None:
    """The id of the version of `task` that `reference` names; None if there is none.

    Raises:
        InputError: `reference` is the beginning of several ids.
    """
    number = _NUMBER.fullmatch(reference)
    if number is not None:
        found = session.scalar(select(table.id).where(table.task == task, table.version == int(number[1])))
        if found is not None:
            return found
    if _HEX.fullmatch(reference) is None:
        return None
    return _by_prefix(session, table, task, reference)


def id_range(table: VersionTable, reference: str) -> ColumnElement[bool] | None:
    """The condition for ids that are or begin with `reference`; None where it is not the beginning of an id."""
    return _starts_with(table, reference) if _HEX.fullmatch(reference) else None


def not_found(
    session: Session, table: VersionTable, kind: str, task: str, reference: str, aliases: list[str] | None = None
) -> NotFoundError:
    """The error for a reference that names nothing; it lists what there is."""
    newest = session.execute(
        select(table.version, table.id).where(table.task == task).order_by(table.version.desc()).limit(_SHOWN)
    ).all()
    if not newest:
        return NotFoundError(f"Task {task!r} has no {kind} yet, so {reference!r} names none.")
    known = ", ".join(f"v{version} ({short_id(id_)})" for version, id_ in newest)
    named = f"; aliases: {', '.join(aliases)}" if aliases else ""
    return NotFoundError(
        f"Task {task!r} has no {kind} {reference!r}.", mend=f"Newest first, there are: {known}{named}."
    )


def _by_prefix(session: Session, table: VersionTable, task: str, prefix: str) -> str | None:
    found = session.execute(
        select(table.version, table.id).where(table.task == task, _starts_with(table, prefix)).order_by(table.version)
    ).all()
    if len(found) > 1:
        matches = ", ".join(f"v{version} ({id_})" for version, id_ in found[:_SHOWN])
        raise InputError(
            f"{prefix!r} is the beginning of {len(found)} ids of task {task!r}: {matches}.", mend="Write more digits."
        )
    return found[0].id if found else None


def _starts_with(table: VersionTable, prefix: str) -> ColumnElement[bool]:
    # A range, unlike LIKE, uses the primary key under every collation; ids are hexadecimal.
    return table.id.between(prefix.ljust(ID_LENGTH, "0"), prefix.ljust(ID_LENGTH, "f"))
