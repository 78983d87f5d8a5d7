"""Cron expressions in a time zone: when they are due, also on days when clocks are changed.

Five fields: minute, hour, day of month, month, day of week (0 or 7 is Sunday; names are allowed), each `*`, a number,
a range `1-5`, a list `1,15` or steps `*/10`. As in every cron, a day counts when day of month *or* day of week fits,
where both are given. `@hourly`, `@daily`, `@weekly` and `@monthly` are short for the obvious.

When clocks are changed, an expression with a fixed hour is a time of day: where that time is skipped (02:30 in spring)
it is due once, at the moment the clocks are changed; where it comes twice (02:30 in autumn) it is due once, the first
time. An expression with `*` or `*/n` hours is a rhythm: it goes on by elapsed time, also through an hour that comes
twice.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

_SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
}
_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS = {name: number for number, name in enumerate(_MONTH_NAMES, 1)}
_WEEKDAYS = {name: number for number, name in enumerate(("sun", "mon", "tue", "wed", "thu", "fri", "sat"))}
_FURTHEST = timedelta(days=366 * 8 + 2)
"""29 February comes back within eight years, also around 2100."""


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    least: int
    most: int
    names: dict[str, int]


_FIELDS = (
    _Field("minute", 0, 59, {}),
    _Field("hour", 0, 23, {}),
    _Field("day of month", 1, 31, {}),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 7, _WEEKDAYS),
)


@dataclass(frozen=True, slots=True)
class Cron:
    """A parsed expression. Fields hold the values that fit, ascending; `every_hour` marks a rhythm."""

    text: str
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    every_hour: bool
    either_day: bool

    def latest(self, after: datetime, until: datetime, zone: tzinfo) -> datetime | None:
        """The last moment in (`after`, `until`] at which it was due, in UTC; None where it was not.

        Ticks that were missed are thus one: whoever was away asks once for the time since then.

        Raises:
            ValueError: a datetime without a time zone.
        """
        _require_zone(after, until)
        day = until.astimezone(zone).date() + timedelta(days=1)
        first = max(after.astimezone(zone).date(), day - _FURTHEST)
        while day >= first:
            for moment in reversed(self._on(day, zone)):
                if moment <= until:
                    return moment if moment > after else None
            day -= timedelta(days=1)
        return None

    def following(self, after: datetime, zone: tzinfo) -> datetime:
        """The first moment after `after` at which it is due, in UTC.

        Raises:
            ValueError: a datetime without a time zone.
        """
        _require_zone(after)
        first = after.astimezone(zone).date() - timedelta(days=1)
        for number in range(_FURTHEST.days):
            for moment in self._on(first + timedelta(days=number), zone):
                if moment > after:
                    return moment
        raise AssertionError(f"{self.text} is never due, and was accepted")

    def _on(self, day: date, zone: tzinfo) -> list[datetime]:
        """All moments of a calendar day of `zone`, ascending, in UTC."""
        if not self._fits(day):
            return []
        times = [time(hour, minute) for hour in self.hours for minute in self.minutes]
        return sorted({moment for wall in times for moment in self._moments(datetime.combine(day, wall), zone)})

    def _fits(self, day: date) -> bool:
        if day.month not in self.months:
            return False
        of_month, of_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return of_month or of_week if self.either_day else of_month and of_week

    def _moments(self, wall: datetime, zone: tzinfo) -> Iterator[datetime]:
        first = wall.replace(tzinfo=zone, fold=0)
        second = wall.replace(tzinfo=zone, fold=1)
        before, after = first.utcoffset() or timedelta(), second.utcoffset() or timedelta()
        if before == after:
            yield first.astimezone(UTC)
        elif before < after:  # the clocks jump over this time
            if not self.every_hour:
                yield _jump(first, zone)
        else:
            yield first.astimezone(UTC)
            if self.every_hour:
                yield second.astimezone(UTC)


def parse_cron(text: str) -> Cron:
    """The expression.

    Raises:
        ValueError: it is none, saying which field and why; or no day there is fits it.
    """
    parts = _SHORT.get(text.strip().lower(), text).split()
    if len(parts) != len(_FIELDS):
        raise ValueError(
            f"{text!r} is no cron expression: write five fields, minute hour day month weekday, like '30 2 * * *'"
        )
    minutes, hours, days, months, weekdays = (_values(part, field) for part, field in zip(parts, _FIELDS, strict=True))
    either = parts[2] != "*" and parts[4] != "*"
    cron = Cron(
        text=text,
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=frozenset(days),
        months=frozenset(months),
        weekdays=frozenset(day % 7 for day in weekdays),
        every_hour=parts[1].startswith("*"),
        either_day=either,
    )
    if not either and min(days) > max(monthrange(2024, month)[1] for month in months):
        raise ValueError(f"{text!r} is never due: no such month has a day {min(days)}")
    return cron


def _values(part: str, field: _Field) -> set[int]:
    found: set[int] = set()
    for item in part.lower().split(","):
        span, slash, step = item.partition("/")
        if slash and not (step.isdecimal() and int(step) > 0):
            raise ValueError(f"{part!r} is no {field.name}: after the / stands a number of 1 or more")
        if span == "*":
            first, last = field.least, field.most
        else:
            start, dash, end = span.partition("-")
            first = _number(start, part, field)
            last = _number(end, part, field) if dash else (field.most if slash else first)
        if first > last:
            raise ValueError(f"{part!r} is no {field.name}: {first} lies after {last}")
        found.update(range(first, last + 1, int(step) if slash else 1))
    return found


def _number(text: str, part: str, field: _Field) -> int:
    if text in field.names:
        return field.names[text]
    if not text.isdecimal() or not text.isascii() or not field.least <= int(text) <= field.most:
        raise ValueError(f"{part!r} is no {field.name}: {text!r} is not between {field.least} and {field.most}")
    return int(text)


def _jump(skipped: datetime, zone: tzinfo) -> datetime:
    """The moment at which the clocks jump over the time `skipped`, to the second."""
    # Read with the offset before the jump a skipped time lies after it, with the one after it before it.
    late = skipped.replace(fold=0).astimezone(UTC)
    early = skipped.replace(fold=1).astimezone(UTC)
    offset = late.astimezone(zone).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) // 2
        if middle.astimezone(zone).utcoffset() == offset:
            late = middle
        else:
            early = middle
    return late.replace(microsecond=0)


def _require_zone(*moments: datetime) -> None:
    if any(moment.tzinfo is None for moment in moments):
        raise ValueError("a moment without a time zone says nothing")
