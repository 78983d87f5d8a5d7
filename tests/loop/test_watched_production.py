"""Through the real definitions: production is asked afresh, a search anew is another one, and the marts agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest
from loop.workplace import INGEST, TASK, Workplace

from resources.database.repositories import production_checks
from resources.database.tables import OptimizationRunRow
from sensors.schedules import RANGE_END, RANGE_START


def start(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, **options: Any
) -> dg.ExecuteInProcessResult:
    return definitions.resolve_job_def(job).execute_in_process(instance=instance, **options)


@pytest.mark.usefixtures("one_day")
@pytest.mark.slow
@pytest.mark.timeout(400)
def test_production_is_watched_and_its_costs_are_in_the_marts(
    make_workplace: Callable[..., Workplace], with_dbt: Any
) -> None:
    from orchestration.definitions import build_definitions

    place = with_dbt(make_workplace(settings={"budgets": {"day": "5.00"}}))
    place.run(*INGEST)
    place.run("optimization_run")
    definitions = build_definitions(place.environment)
    with place.instance() as instance:
        for _ in range(2):
            start(definitions, instance, "check_production", partition_key=TASK)
        ops = {"optimization_run": {"config": {"seed_offset": 5}}, "evaluation": {"config": {"sample": 5}}}
        start(definitions, instance, "reoptimize", partition_key=TASK, run_config={"ops": ops})
        today = datetime.now(UTC).date().isoformat()
        collected = start(
            definitions, instance, "collect_metrics", tags={RANGE_START: today, RANGE_END: today}, partition_key=None
        )
    with place.database() as database, database.session(read_only=True) as session:
        seeds = {row.optimizer["seed"] for row in session.query(OptimizationRunRow)}
        newest = production_checks.latest(session, TASK)
        checks = production_checks.all_checks(session)

    assert seeds == {0, 5}
    assert newest is not None
    assert [(one.look, one.worse) for one in checks] == [(0, False), (1, False)]  # offline/nearest does not change
    verdicts = {one.check_name: one.passed for one in collected.get_asset_check_evaluations()}
    assert verdicts["ledger_equals_marts"]
    assert len(collected.all_events) < 150
