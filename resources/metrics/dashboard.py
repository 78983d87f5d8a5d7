"""The figures of the dashboard, read from the marts: money, scores, speed and rates of the last days."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import duckdb

SERIES = 7
OTHERS = "all others"
NO_TASK = "(no task)"
SHOWN_TASKS = 50
SHOWN_BUDGETS = 20

_COST = (
    "select day, coalesce(task, $none), sum(cost_nano_usd)::bigint from cost_by_task "
    "where day between $first and $last group by all"
)
_LATENCY = (
    "select day, coalesce(task, $none) || ' · ' || purpose || ' · ' || coalesce(model, '?'), calls, p95_s "
    "from latency_percentiles where day between $first and $last"
)
_RATES = (
    "select day, sum(answered)::bigint, sum(cache_hits)::bigint, sum(calls)::bigint, sum(fallbacks)::bigint, "
    "sum(ambiguous_nano_usd)::bigint from cost_by_day where day between $first and $last group by day"
)
_TASKS = (
    "select coalesce(task, $none) as task, sum(calls)::bigint, sum(answered)::bigint, sum(cache_hits)::bigint, "
    "sum(fallbacks)::bigint, sum(cost_nano_usd)::bigint from cost_by_task "
    "where day between $first and $last group by 1 order by 6 desc, 1"
)
_SCORES = (
    "select task, created_at, split, metric, score, score_low, score_high, rows, prompt_version_id "
    "from evaluation_history where split = 'test' and score is not null order by task, created_at, evaluation_id"
)
_BUDGETS = (
    "select budget_window, burned_nano_usd, cap_nano_usd, (month_projection_usd * 1000000000)::bigint "
    "from budget_burn where newest and cap_nano_usd is not null and day >= $month "
    "and scope not like 'run:%' and (scope <> 'day' or day = $last) "
    "order by burned_nano_usd / greatest(cap_nano_usd, 1) desc, budget_window limit $most"
)
_KNOWN = "select min(day), max(day) from cost_by_day where day <= $today"
WEEK = 7


@dataclass(frozen=True, slots=True)
class Series:
    """One line or band of a picture: a value per day; None where there is none."""

    name: str
    values: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class TaskFigures:
    """One task over the days shown. Money in nano-USD."""

    task: str
    calls: int
    answered: int
    cache_hits: int
    fallbacks: int
    cost_nano_usd: int


@dataclass(frozen=True, slots=True)
class ScorePoint:
    """One evaluation on the sealed test split, with its 95 % interval; scores are 0..1."""

    task: str
    at: datetime
    metric: str
    score: float
    low: float | None
    high: float | None
    rows: int
    prompt_version_id: str


@dataclass(frozen=True, slots=True)
class BudgetFigures:
    """A budget window with a cap. Money in nano-USD."""

    window: str
    burned_nano_usd: int
    cap_nano_usd: int
    month_projection_nano_usd: int | None


@dataclass(frozen=True, slots=True)
class Dashboard:
    """Everything the dashboard shows.

    Attributes:
        days: the UTC days shown, all of them, oldest first.
        cost: USD per day by task; at most `SERIES` tasks and the sum of the others.
        latency: p95 in seconds per day of the busiest groups (task, purpose, model).
        hit_rate, fallback_rate: shares in 0..1 per day; None where nothing was asked.
        tasks: dearest first.
        scores: by task, oldest first.
        budgets: windows that are open on the last day and were charged this month, the fullest first; caps of single
            runs and batches are left out.
    """

    days: tuple[date, ...]
    cost: tuple[Series, ...]
    latency: tuple[Series, ...]
    hit_rate: tuple[float | None, ...]
    fallback_rate: tuple[float | None, ...]
    ambiguous_nano_usd: int
    tasks: tuple[TaskFigures, ...]
    scores: tuple[ScorePoint, ...]
    budgets: tuple[BudgetFigures, ...]

    @property
    def cost_nano_usd(self) -> int:
        """What all calls of the days shown cost."""
        return sum(one.cost_nano_usd for one in self.tasks)

    @property
    def calls(self) -> int:
        """Calls of the days shown."""
        return sum(one.calls for one in self.tasks)


def read_dashboard(marts: duckdb.DuckDBPyConnection, days: int, today: date) -> Dashboard:
    """The dashboard of up to `days` days that end with the newest day of the marts (at the latest `today`).

    Days before the first call are left out, except that a week is shown in any case (or `days`, if fewer).

    Raises:
        ValueError: `days` is below 1.
        duckdb.CatalogException: the marts were never built.
    """
    if days < 1:
        raise ValueError(f"a dashboard shows at least 1 day, not {days}")
    oldest, newest = marts.execute(_KNOWN, {"today": today}).fetchall()[0]
    last = newest or today
    known = (last - oldest).days + 1 if oldest else 1
    shown = tuple(last - timedelta(days=back) for back in reversed(range(min(days, max(known, WEEK)))))
    span: dict[str, Any] = {"first": shown[0], "last": last}
    named = {**span, "none": NO_TASK}
    rates = {day: sums for day, *sums in marts.execute(_RATES, span).fetchall()}
    return Dashboard(
        days=shown,
        cost=_cost_series(marts.execute(_COST, named).fetchall(), shown),
        latency=_latency_series(marts.execute(_LATENCY, named).fetchall(), shown),
        hit_rate=tuple(_share(rates, day, part=1, whole=0) for day in shown),
        fallback_rate=tuple(_share(rates, day, part=3, whole=2) for day in shown),
        ambiguous_nano_usd=sum(sums[4] for sums in rates.values()),
        tasks=tuple(TaskFigures(*row) for row in marts.execute(_TASKS, named).fetchall()),
        scores=tuple(_score_point(row) for row in marts.execute(_SCORES).fetchall()),
        budgets=tuple(
            BudgetFigures(*row)
            for row in marts.execute(
                _BUDGETS, {"month": last.replace(day=1), "last": last, "most": SHOWN_BUDGETS}
            ).fetchall()
        ),
    )


def _cost_series(rows: Iterable[tuple[date, str, int]], days: Sequence[date]) -> tuple[Series, ...]:
    by_task: dict[str, dict[date, int]] = {}
    for day, task, nano in rows:
        by_task.setdefault(task, {})[day] = nano
    ordered = sorted(by_task, key=lambda task: (-sum(by_task[task].values()), task))
    # One more task than there are bands would be hidden behind a band that is one task's anyway.
    kept = ordered if len(ordered) <= SERIES + 1 else ordered[:SERIES]
    bands = [Series(task, tuple(by_task[task].get(day, 0) / 1e9 for day in days)) for task in kept]
    rest = ordered[len(kept) :]
    if rest:
        sums = tuple(sum(by_task[task].get(day, 0) for task in rest) / 1e9 for day in days)
        bands.append(Series(OTHERS, sums))
    return tuple(bands)


def _latency_series(rows: Iterable[tuple[date, str, int, float]], days: Sequence[date]) -> tuple[Series, ...]:
    calls: dict[str, int] = {}
    seconds: dict[str, dict[date, float]] = {}
    for day, group, count, p95_s in rows:
        calls[group] = calls.get(group, 0) + count
        seconds.setdefault(group, {})[day] = p95_s
    busiest = sorted(calls, key=lambda group: (-calls[group], group))[:SERIES]
    return tuple(Series(group, tuple(seconds[group].get(day) for day in days)) for group in busiest)


def _share(sums: dict[date, list[int]], day: date, *, part: int, whole: int) -> float | None:
    one = sums.get(day)
    return one[part] / one[whole] if one and one[whole] else None


def _score_point(row: tuple[Any, ...]) -> ScorePoint:
    task, at, _, metric, score, low, high, rows, version = row
    return ScorePoint(task, at, metric, score, low, high, rows, version)
