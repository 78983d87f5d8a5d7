"""When a task starts something by itself: cron in its file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, Self, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from domain.cron import parse_cron

Start = Literal["optimize", "evaluate", "check_production", "start_experiment", "report_experiments"]
STARTS: tuple[Start, ...] = get_args(Start)


def _cron(text: str) -> str:
    parse_cron(text)
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone known here; write one like UTC or Europe/Berlin") from None
    return name


CronText = Annotated[str, AfterValidator(_cron)]


class ScheduleSpec(BaseModel):
    """The `schedule` of a task file. Times that were missed are made up once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_zone: Annotated[str, AfterValidator(_zone)] = Field(
        default="UTC", description="The zone that the times are meant in, e.g. Europe/Berlin."
    )
    optimize: CronText | None = Field(
        default=None,
        description="Cron of optimization runs; over rows and a prompt that have not changed one costs nothing.",
    )
    evaluate: CronText | None = Field(default=None, description="Cron of evaluations, put to the gate.")
    check_production: CronText | None = Field(
        default=None, description="Cron of fresh evaluations of the production prompt on dev; each is paid for."
    )
    start_experiment: CronText | None = Field(
        default=None,
        description="Cron of live A/B tests as `experiment` declares them; one starts where its versions differ and "
        "none of the task's runs.",
    )
    report_experiments: CronText | None = Field(
        default=None, description="Cron of reports on the task's running experiments, which may end them."
    )

    @property
    def starts(self) -> dict[Start, str]:
        """The cron expressions there are."""
        return {kind: cron for kind in STARTS if (cron := getattr(self, kind)) is not None}

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not self.starts:
            raise ValueError(f"the schedule starts nothing; give one of {', '.join(STARTS)} a cron expression")
        return self


@dataclass(frozen=True, slots=True)
class Seen:
    """How far one start of one task was looked at: with which rule, and until when."""

    rule: str
    until: datetime


@dataclass(frozen=True, slots=True)
class DueStart:
    """One start that is due since `at`."""

    task: str
    kind: Start
    at: datetime


def due_starts(
    task: str, schedule: ScheduleSpec, seen: Mapping[str, Seen], now: datetime
) -> Iterator[tuple[Start, Seen, DueStart | None]]:
    """For every start of the schedule: what is seen of it from now on, and whether it is due.

    A rule that is new or was changed counts from now: nobody expects what it would have started before it was written.
    """
    zone = ZoneInfo(schedule.time_zone)
    for kind, cron in schedule.starts.items():
        rule = f"{cron} {schedule.time_zone}"
        before = seen.get(kind)
        after = before.until if before is not None and before.rule == rule else now
        at = parse_cron(cron).latest(after, now, zone) if after < now else None
        yield kind, Seen(rule, max(after, now)), None if at is None else DueStart(task, kind, at)


def next_starts(schedule: ScheduleSpec, now: datetime) -> dict[Start, datetime]:
    """When each start of the schedule is due next after `now`, in the schedule's own zone."""
    zone = ZoneInfo(schedule.time_zone)
    return {kind: parse_cron(cron).following(now, zone).astimezone(zone) for kind, cron in schedule.starts.items()}
