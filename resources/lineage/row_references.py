"""Finding the row a person means: by a task or dataset version and the row's id, or the beginning of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from domain.dataset import DatasetVersion
from domain.errors import InputError, NotFoundError
from domain.identity import short_id
from resources.database.repositories import dataset_versions, tasks
from resources.database.repositories.references import MIN_PREFIX_LENGTH

VERSION_MARK = "@"
_SHOWN = 5


def find_versions(session: Session, where: str) -> list[DatasetVersion]:
    """The dataset versions `where` names, newest first: all of a task, `TASK@v3`, or one by the beginning of its id.

    Raises:
        NotFoundError: there is no such task or version.
        InputError: it is the beginning of several versions' ids.
    """
    task, mark, reference = where.partition(VERSION_MARK)
    if mark:
        return [dataset_versions.get(session, task, reference)]
    of_task = dataset_versions.list_dataset_versions(session, where)
    if of_task:
        return of_task
    found = dataset_versions.find_anywhere(session, where)
    if len(found) > 1:
        names = ", ".join(f"{one.task}@v{one.version} ({short_id(one.id)})" for one in found[:_SHOWN])
        raise InputError(
            f"{where!r} is the beginning of several dataset versions' ids: {names}.",
            field="where",
            mend="Write more digits, or TASK@v3.",
        )
    if not found:
        known = [record.name for record in tasks.list_tasks(session)]
        mend = f"The tasks are: {', '.join(known)}." if known else "Nothing has been ingested yet."
        raise NotFoundError(f"There is no task and no dataset version {where!r}.", field="where", mend=mend)
    return found


def resolve_row_id(
    reference: str, versions: Sequence[DatasetVersion], row_ids: Callable[[DatasetVersion], Sequence[str]]
) -> str:
    """The id of the one row that `reference` names in any of `versions`: in full, or by its first 6 characters or more.

    Raises:
        NotFoundError: no version holds such a row, or its file is gone.
        InputError: several rows' ids begin with it.
    """
    known = {row_id for version in versions for row_id in row_ids(version)}
    if reference in known:
        return reference
    begun = sorted(one for one in known if len(reference) >= MIN_PREFIX_LENGTH and one.startswith(reference))
    if len(begun) == 1:
        return begun[0]
    if begun:
        raise InputError(
            f"{reference!r} is the beginning of {len(begun)} row ids: {', '.join(begun[:_SHOWN])}.",
            field="row_id",
            mend="Write more of it.",
        )
    named = ", ".join(f"v{version.version}" for version in versions)
    raise NotFoundError(
        f"No row {reference!r} is in dataset {named} of task {versions[0].task!r}.",
        field="row_id",
        mend=f"Write the id in full or its first {MIN_PREFIX_LENGTH} characters; ids stand in the dataset's Parquet.",
    )
