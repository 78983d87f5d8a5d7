"""Setting the marts against the ledger, day by day."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Literal

from resources.database.repositories import ledger_days
from resources.database.repositories.spending import day_totals
from resources.database.session import Database

if TYPE_CHECKING:
    import duckdb

_BY_DAY = (
    "select day, sum(calls)::bigint, sum(attempts)::bigint, sum(cost_nano_usd)::bigint, "
    "sum(ambiguous_nano_usd)::bigint from usage_by_day group by day"
)


@dataclass(frozen=True, slots=True)
class DaySums:
    """What one UTC day comes to."""

    calls: int = 0
    attempts: int = 0
    cost_nano_usd: int = 0
    ambiguous_nano_usd: int = 0


@dataclass(frozen=True, slots=True)
class DayDifference:
    """A day on which the marts are not what they should be."""

    day: date
    against: Literal["export", "ledger"]
    expected: DaySums
    found: DaySums

    @property
    def nano_usd(self) -> int:
        """The marts' money less what it should be."""
        return self.found.cost_nano_usd - self.expected.cost_nano_usd


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """Every exported day, set against its export; the latest ones against the ledger itself as well.

    Attributes:
        days: that were compared with their exports.
        days_read: that were compared with the ledger.
        growing: to which the ledger has added since their export.
    """

    days: int
    days_read: int
    growing: int
    differences: tuple[DayDifference, ...]

    @property
    def sentence(self) -> str:
        """The verdict, for people."""
        if not self.differences:
            return f"{self.days} days in the marts are the ledger's, to the nano-dollar."
        named = ", ".join(dict.fromkeys(one.day.isoformat() for one in self.differences[:5]))
        more = " and others" if len(self.differences) > 5 else ""
        return f"The marts differ from the ledger on {named}{more}. Materialize call_log for these days, then metrics."


def reconcile(database: Database, marts: duckdb.DuckDBPyConnection, since: date) -> Reconciliation:
    """Compare all exported days with what was exported, and those from `since` on with the ledger as it is.

    Days with marks are not compared with the ledger: it has grown, and the next collection copies it. Nor are days
    whose rows it no longer keeps.

    Raises:
        DatabaseUnavailableError: the ledger cannot be read.
        duckdb.CatalogException: the marts were never built.
    """
    found = mart_sums(marts)
    with database.session(read_only=True) as session:
        exported = {one.day: one for one in ledger_days.exported_days(session)}
        marked = set(ledger_days.changed_days(session))
    sums = {
        day: DaySums(one.calls, one.attempts, one.cost_nano_usd, one.ambiguous_nano_usd)
        for day, one in exported.items()
    }
    live = [day for day, one in exported.items() if day >= since and one.removed_at is None and day not in marked]
    ledger = _ledger(database, live)
    differences = [*_differing(sums, found, "export", sums.keys() | found.keys())]
    differences += _differing(ledger, found, "ledger", live)
    return Reconciliation(len(sums), len(live), len(marked), tuple(sorted(differences, key=lambda one: one.day)))


def mart_sums(marts: duckdb.DuckDBPyConnection) -> dict[date, DaySums]:
    """What the marts hold, by day.

    Raises:
        duckdb.CatalogException: they were never built.
    """
    return {day: DaySums(*sums) for day, *sums in marts.execute(_BY_DAY).fetchall()}


def _differing(
    expected: Mapping[date, DaySums],
    found: Mapping[date, DaySums],
    against: Literal["export", "ledger"],
    days: Iterable[date],
) -> list[DayDifference]:
    nothing = DaySums()
    pairs = [(day, expected.get(day, nothing), found.get(day, nothing)) for day in days]
    return [DayDifference(day, against, wanted, got) for day, wanted, got in pairs if wanted != got]


def _ledger(database: Database, days: list[date]) -> dict[date, DaySums]:
    """One day at a time, through the index on `finished_at`."""
    sums: dict[date, DaySums] = {}
    for day in days:
        start = datetime.combine(day, time(), UTC)
        with database.session(read_only=True) as session:
            sums[day] = DaySums(*day_totals(session, start, start + timedelta(days=1)))
    # A writer may have marked a day since the marks were read: then these sums say nothing about the marts.
    with database.session(read_only=True) as session:
        marked = set(ledger_days.changed_days(session))
    for day in marked & sums.keys():
        days.remove(day)
    return sums
