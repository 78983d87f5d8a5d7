"""One row of an import file: read, checked, or refused with field, problem and mend."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.errors import InputError
from domain.experiment.allocation import LONGEST_UNIT_ID, check_unit_id
from domain.identity import content_id
from domain.pricing import usd_to_nano
from resources.database.repositories.interactions import InteractionRecord
from resources.experiments.started import Started

INTERACTION_COLUMNS = ("unit_id", "at", "variant", "id", "call_id", "cost_usd", "latency_s")
OUTCOME_COLUMNS = ("unit_id", "call_id", "value", "at")
_MOST_USD = Decimal(1_000_000)


@dataclass(frozen=True, slots=True)
class OutcomeLine:
    """An outcome as written; the unit of one that names a call only is looked up later."""

    row: int
    unit_id: str | None
    call_id: str | None
    value: float
    at: datetime


def read_interaction(started: Started, values: dict[str, Any], now: datetime) -> InteractionRecord:
    """The interaction of a row.

    Without an id it gets one from its call, or from unit and time. A variant that is named must be the one the unit
    was dealt: anything else means that somebody else deals units, and no result of that can be trusted.

    Raises:
        InputError: naming the column.
    """
    unit_id = text(values, "unit_id")
    if unit_id is None:
        raise InputError("the unit is missing", field="unit_id", mend="fill the cell.")
    check_unit_id(unit_id)
    at = moment(values, now)
    if at < started.record.started_at:
        raise InputError(
            f"{at.isoformat()} lies before the experiment's start, {started.record.started_at.isoformat()}",
            field="at",
            mend="leave the row out; for older traffic start it with --since.",
        )
    variant = _variant(started, unit_id, text(values, "variant"), at)
    call_id = _short(text(values, "call_id"), "call_id")
    own_id = _short(text(values, "id"), "id")
    cost = amount(values, "cost_usd")
    latency = amount(values, "latency_s")
    return InteractionRecord(
        experiment=started.experiment.name,
        id=own_id or call_id or content_id([unit_id, at.isoformat()]),
        unit_id=unit_id,
        variant=variant,
        prompt_version_id=started.prompt_version_id(variant),
        call_id=call_id,
        cost_nano_usd=None if cost is None else usd_to_nano(cost),
        latency_s=None if latency is None else float(latency),
        answer=None,
        at=at,
        source="import",
    )


def read_outcome(row: int, values: dict[str, Any], now: datetime) -> OutcomeLine:
    """The outcome of a row.

    Raises:
        InputError: naming the column.
    """
    unit_id, call_id = text(values, "unit_id"), text(values, "call_id")
    if unit_id is None and call_id is None:
        raise InputError("neither unit nor call is named", field="unit_id", mend="fill unit_id or call_id.")
    if unit_id is not None:
        check_unit_id(unit_id)
    value = amount(values, "value")
    if value is None:
        raise InputError("the value is missing", field="value", mend="fill the cell, or leave the row out.")
    return OutcomeLine(row, unit_id, _short(call_id, "call_id"), float(value), moment(values, now))


def text(values: dict[str, Any], column: str) -> str | None:
    """A cell's trimmed text; None where it is absent or empty."""
    value = values.get(column)
    return None if value is None else str(value).strip() or None


def moment(values: dict[str, Any], now: datetime) -> datetime:
    """The row's time, with its zone, not in the future.

    Raises:
        InputError: it is none.
    """
    value = values.get("at")
    if isinstance(value, datetime):
        found = value
    else:
        try:
            found = datetime.fromisoformat(text(values, "at") or "")
        except ValueError:
            raise InputError(
                f"{str(value)[:40]!r} is not a time", field="at", mend="write it like 2026-11-22T12:30:00Z."
            ) from None
    if found.tzinfo is None:
        raise InputError(f"{found.isoformat()} has no time zone", field="at", mend="add Z or an offset like +01:00.")
    if found > now:
        raise InputError(f"{found.isoformat()} lies in the future", field="at", mend="correct the clock that wrote it.")
    return found.astimezone(UTC)


def amount(values: dict[str, Any], column: str) -> Decimal | None:
    """A cell's number of 0 or more; None where it is absent or empty.

    Raises:
        InputError: it is none.
    """
    written = text(values, column)
    if written is None:
        return None
    try:
        found = Decimal(written)
    except InvalidOperation:
        found = Decimal("NaN")
    if not (found.is_finite() and 0 <= found <= _MOST_USD):
        raise InputError(f"{written[:40]!r} is not a number of 0 or more", field=column, mend="write digits only.")
    return found


def _variant(started: Started, unit_id: str, written: str | None, at: datetime) -> str:
    if not started.takes(unit_id):
        raise InputError(
            "the unit belongs to another part of the layer",
            field="unit_id",
            mend="leave it out: production answered it.",
        )
    dealt = started.dealt(unit_id, at)
    if written is None or written == dealt:
        return dealt
    if started.experiment.variant(written) is None:
        names = ", ".join(variant.name for variant in started.experiment.variants)
        raise InputError(f"there is no variant {written[:40]!r}", field="variant", mend=f"variants are: {names}.")
    if any(epoch.allocation.variant_of(started.bucket(unit_id)) == written for epoch in started.epochs):
        return written  # dealt before the weights were changed, and kept since
    raise InputError(
        f"the unit was dealt {dealt!r}, not {written!r}",
        field="variant",
        mend="deal units with `promptory experiment assign` or `LiveExperiments.assign`, and nothing else.",
    )


def _short(value: str | None, column: str) -> str | None:
    if value is not None and (len(value) > LONGEST_UNIT_ID or "\0" in value):
        raise InputError(
            f"an id has at most {LONGEST_UNIT_ID} characters and no NUL", field=column, mend="use a shorter one."
        )
    return value
