"""What the dashboard makes of the marts' rows."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest
from matplotlib.patches import Rectangle

from assets.presentation.charts import ScoreBar, count_chart, score_chart
from assets.presentation.dashboard_charts import budget_figure
from assets.presentation.dashboard_page import dashboard_page, usd
from domain.errors import DatabaseUnavailableError, NotFoundError
from resources.metrics.dashboard import NO_TASK, OTHERS, SERIES, read_dashboard
from resources.metrics_resource import MetricsResource

TODAY = date(2026, 11, 21)
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
USAGE = "day date, task varchar, calls bigint, answered bigint, cache_hits bigint, fallbacks bigint"
TABLES = {
    "cost_by_task": f"{USAGE}, cost_nano_usd bigint",
    "cost_by_day": "day date, calls bigint, answered bigint, cache_hits bigint, fallbacks bigint, "
    "ambiguous_nano_usd bigint",
    "latency_percentiles": "day date, task varchar, purpose varchar, model varchar, calls bigint, p95_s double",
    "evaluation_history": "evaluation_id varchar, task varchar, created_at timestamp, split varchar, metric varchar, "
    "score double, score_low double, score_high double, rows bigint, prompt_version_id varchar",
    "budget_burn": "budget_window varchar, scope varchar, day date, burned_nano_usd bigint, cap_nano_usd bigint, "
    "month_projection_usd decimal(28, 9), newest boolean",
}


@pytest.fixture
def marts() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        for name, columns in TABLES.items():
            connection.execute(f"create table {name} ({columns})")
        yield connection


def spend(marts: duckdb.DuckDBPyConnection, day: date, task: str | None, nano: int, calls: int = 10) -> None:
    marts.execute(
        "insert into cost_by_task values (?, ?, ?, ?, ?, ?, ?)", [day, task, calls, calls - 1, calls // 2, 1, nano]
    )
    marts.execute("insert into cost_by_day values (?, ?, ?, ?, ?, 0)", [day, calls, calls - 1, calls // 2, 1])


def test_a_home_without_calls_has_a_page(marts: duckdb.DuckDBPyConnection) -> None:
    found = read_dashboard(marts, 30, TODAY)
    assert len(found.days) == 7
    assert found.days[-1] == TODAY
    assert found.cost_nano_usd == found.calls == 0
    assert set(found.hit_rate) == {None}
    assert "<svg" in dashboard_page(found, NOW)


@pytest.mark.parametrize(("age", "days", "shown"), [(0, 30, 7), (9, 30, 10), (99, 30, 30), (99, 3, 3), (0, 3, 3)])
def test_days_before_the_first_call_are_left_out(
    marts: duckdb.DuckDBPyConnection, age: int, days: int, shown: int
) -> None:
    spend(marts, TODAY - timedelta(days=age), "triage", 5)
    spend(marts, TODAY, "triage", 7)
    found = read_dashboard(marts, days, TODAY)
    assert found.days == tuple(TODAY - timedelta(days=back) for back in reversed(range(shown)))
    assert found.cost_nano_usd == (12 if age < shown else 7)


def test_many_tasks_are_few_bands_that_hold_all_the_money(marts: duckdb.DuckDBPyConnection) -> None:
    for number in range(SERIES + 5):
        spend(marts, TODAY - timedelta(days=number % 3), f"task_{number:02d}", 10**9 * (number + 1))
    found = read_dashboard(marts, 7, TODAY)
    assert [series.name for series in found.cost] == [f"task_{number:02d}" for number in range(11, 4, -1)] + [OTHERS]
    drawn = sum(value or 0.0 for series in found.cost for value in series.values)
    assert drawn == pytest.approx(found.cost_nano_usd / 1e9)
    assert found.tasks[0].task == "task_11"


def test_one_task_more_than_bands_is_shown_by_its_name(marts: duckdb.DuckDBPyConnection) -> None:
    for number in range(SERIES + 1):
        spend(marts, TODAY, f"task_{number}", 5)
    assert OTHERS not in [series.name for series in read_dashboard(marts, 7, TODAY).cost]


def test_rates_are_of_what_was_asked_and_missing_days_are_gaps(marts: duckdb.DuckDBPyConnection) -> None:
    spend(marts, TODAY - timedelta(days=1), None, 5, calls=11)
    found = read_dashboard(marts, 3, TODAY)
    assert found.days[-1] == TODAY - timedelta(days=1)
    assert found.hit_rate == (None, None, 5 / 10)
    assert found.fallback_rate == (None, None, 1 / 11)
    assert found.tasks[0].task == NO_TASK


def test_latency_shows_the_busiest_groups(marts: duckdb.DuckDBPyConnection) -> None:
    spend(marts, TODAY, "triage", 5)
    for number in range(SERIES + 2):
        marts.execute(
            "insert into latency_percentiles values (?, 'triage', 'batch', ?, ?, 0.5)", [TODAY, f"m{number}", number]
        )
    shown = [series.name for series in read_dashboard(marts, 7, TODAY).latency]
    assert shown == [f"triage · batch · m{number}" for number in range(SERIES + 1, 1, -1)]


def test_only_open_windows_with_a_cap_are_budgets(marts: duckdb.DuckDBPyConnection) -> None:
    spend(marts, TODAY, "triage", 5)
    yesterday = TODAY - timedelta(days=1)
    for window, scope, day, burned, cap in (
        ("day:2026-11-20", "day", yesterday, 9, 10),
        ("day:2026-11-21", "day", TODAY, 2, 10),
        ("month:2026-11", "month", TODAY, 11, 100),
        ("org", "org", TODAY, 11, None),
        ("task:triage", "task:triage", yesterday, 95, 100),
        ("run:abc", "run:abc", yesterday, 10, 10),
    ):
        marts.execute("insert into budget_burn values (?, ?, ?, ?, ?, 1.5, true)", [window, scope, day, burned, cap])
    found = read_dashboard(marts, 7, TODAY).budgets
    assert [one.window for one in found] == ["task:triage", "day:2026-11-21", "month:2026-11"]
    assert found[0].month_projection_nano_usd == 1_500_000_000


def test_names_cannot_write_into_the_page(marts: duckdb.DuckDBPyConnection) -> None:
    name = "<script>alert(1)</script> $x$ \\frac"
    spend(marts, TODAY, name, 5)
    marts.execute(
        "insert into evaluation_history values ('e', ?, ?, 'test', ?, 0.5, null, null, 40, ?)",
        [name, NOW.replace(tzinfo=None), name, "a" * 64],
    )
    page = dashboard_page(read_dashboard(marts, 7, TODAY), NOW)
    assert "<script>" not in page
    assert "50.0 %" in page
    assert re.search(r"&lt;script&gt;", page)


def test_zero_days_are_refused(marts: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(ValueError, match="at least 1 day"):
        read_dashboard(marts, 0, TODAY)


def test_a_file_without_the_tables_is_told(tmp_path: Path) -> None:
    path = tmp_path / "metrics.duckdb"
    with pytest.raises(NotFoundError, match="never built"), MetricsResource(duckdb_path=str(path)).connect():
        pass
    duckdb.connect(str(path)).close()
    with (
        pytest.raises(NotFoundError, match="not built to the end"),
        MetricsResource(duckdb_path=str(path)).connect() as marts,
    ):
        read_dashboard(marts, 7, TODAY)


def test_a_file_that_another_process_writes_is_told(tmp_path: Path) -> None:
    path = tmp_path / "metrics.duckdb"
    program = "import duckdb, sys; held = duckdb.connect(sys.argv[1]); print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdout.readline()
        with (
            pytest.raises(DatabaseUnavailableError, match="being built"),
            MetricsResource(duckdb_path=str(path)).connect(),
        ):
            pass
        writer.stdin.close()


@pytest.mark.parametrize(
    ("nano", "told"),
    [
        (0, "$0.00"),
        (1_234_567_000_000, "$1,234.57"),
        (871_456_400, "$0.871456"),
        (500_000_000, "$0.50"),
        (76_000, "$0.000076"),
        (400, "$0.0000004"),
    ],
)
def test_dollars_have_the_places_that_say_something(nano: int, told: str) -> None:
    assert usd(nano) == told


@pytest.mark.parametrize("label", ["$10_$20", "a$x^$", "50% $ #1 $", "two\nlines " * 30])
def test_any_label_can_be_drawn(label: str) -> None:
    assert count_chart("Rows by label", {label: 3, label + "!": 2}).startswith("![Rows by label](data:image/png")
    assert score_chart("Score", [ScoreBar(label, 0.5, 0.4, 0.6)]).startswith("![Score]")


def test_caps_whose_names_are_cut_alike_have_a_bar_each(marts: duckdb.DuckDBPyConnection) -> None:
    for number, burned in enumerate([900, 100]):
        window = f"task:{'long_' * 12}{number}"
        marts.execute("insert into budget_burn values (?, ?, ?, ?, 1000, null, true)", [window, window, TODAY, burned])
    [axes] = budget_figure(read_dashboard(marts, 7, TODAY)).axes
    bars = [(bar.get_y(), bar.get_width()) for bar in axes.patches if isinstance(bar, Rectangle)]
    assert len({place for place, _ in bars}) == 2
    assert sorted(width for _, width in bars) == [0.1, 0.9, 1.0, 1.0]
