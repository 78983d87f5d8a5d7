"""The caps of budget scopes as last set, and which scopes an overrun froze."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from domain.errors import InputError, NotFoundError
from resources.database.insert_ignore import dialect_insert
from resources.database.repositories.records import read, select_record
from resources.database.tables import BudgetScopeRow


@dataclass(frozen=True, slots=True)
class BudgetScopeRecord:
    """One scope's cap; `frozen_reason` is None unless an overrun froze it."""

    scope: str
    cap_nano_usd: int
    frozen_reason: str | None
    updated_at: datetime


def caps(session: Session) -> dict[str, int]:
    """All caps in nano-USD, by scope."""
    rows = session.execute(select(BudgetScopeRow.scope, BudgetScopeRow.cap_nano_usd).order_by(BudgetScopeRow.scope))
    return {row[0]: row[1] for row in rows}


def find(session: Session, scope: str) -> BudgetScopeRecord | None:
    """The scope, if a cap was set for it."""
    row = session.execute(
        select_record(BudgetScopeRow, BudgetScopeRecord).where(BudgetScopeRow.scope == scope)
    ).one_or_none()
    return None if row is None else read(BudgetScopeRecord, row)


def list_budget_scopes(session: Session) -> list[BudgetScopeRecord]:
    """All scopes with a cap, by name."""
    rows = session.execute(select_record(BudgetScopeRow, BudgetScopeRecord).order_by(BudgetScopeRow.scope))
    return [read(BudgetScopeRecord, row) for row in rows]


def set_cap(session: Session, scope: str, cap_nano_usd: int, *, now: datetime) -> None:
    """Set the cap of a scope, new or known; a frozen one stays frozen.

    Raises:
        InputError: the cap is negative.
    """
    if cap_nano_usd < 0:
        raise InputError(f"The cap of {scope!r} is negative.", field="cap_nano_usd")
    insert = dialect_insert(session, BudgetScopeRow).values(scope=scope, cap_nano_usd=cap_nano_usd, updated_at=now)
    session.execute(
        insert.on_conflict_do_update(
            index_elements=[BudgetScopeRow.scope],
            set_={"cap_nano_usd": insert.excluded["cap_nano_usd"], "updated_at": insert.excluded["updated_at"]},
        )
    )


def remove_cap(session: Session, scope: str) -> None:
    """Forget the cap of a scope, if it has one."""
    session.execute(delete(BudgetScopeRow).where(BudgetScopeRow.scope == scope))


def set_frozen(session: Session, scope: str, reason: str | None, *, now: datetime) -> None:
    """Say why a scope admits nothing; None lets it admit again.

    Raises:
        NotFoundError: the scope has no cap.
    """
    changed = session.execute(
        update(BudgetScopeRow)
        .where(BudgetScopeRow.scope == scope)
        .values(frozen_reason=reason, updated_at=now)
        .returning(BudgetScopeRow.scope)
        .execution_options(synchronize_session=False)
    )
    if changed.one_or_none() is None:
        raise NotFoundError(f"Budget scope {scope!r} has no cap.", mend="Set its cap first.")
