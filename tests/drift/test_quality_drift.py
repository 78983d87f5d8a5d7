"""The drift sensor: quiet while nothing changes, one request when something does, then a rest."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from drift.conftest import PROMOTED, Sensor
from servers.webhook import Webhook

from resources.database.repositories import input_checks, production_checks
from resources.database.repositories.production_checks import ProductionCheck


def check(prompt_id: str, number: int, *, worse: bool, at: datetime = PROMOTED) -> ProductionCheck:
    values: dict[str, Any] = {"sample": number + 1, "look": number, "rows": 200, "score_low": 0.6, "score_high": 0.8}
    return ProductionCheck(
        id=f"check-{number}",
        task="colours",
        prompt_version_id=prompt_id,
        dataset_version_id="d" * 64,
        score=0.7,
        reference_score=0.85,
        difference=-0.15,
        p_value=0.0001 if worse else 0.4,
        alpha=0.005,
        checked_at=at,
        **values,
    )


def test_a_quiet_fortnight_says_nothing(sensor: Sensor, hook: Webhook) -> None:
    prompt_id = sensor.production.promote(sensor.production.write(then="optimize"))
    for day in range(14):
        sensor.production.calls(prompt_id, day, 220)
        assert sensor.at(day + 1.01) == []
    assert hook.received == []
    with sensor.production.database.session(read_only=True) as session:
        _, latest = input_checks.reference_and_latest(session, "colours", prompt_id)
    assert latest is not None
    assert latest.look == 13


def test_longer_inputs_request_one_search_and_then_rest(sensor: Sensor, hook: Webhook) -> None:
    prompt_id = sensor.production.promote(sensor.production.write(then="optimize", cooldown_days=3))
    sensor.production.calls(prompt_id, 0, 300)
    assert sensor.at(1.01) == []  # the reference
    requested = []
    for day in range(1, 6):
        sensor.production.calls(prompt_id, day, 300, centre=4.6)
        requested += [(day, one) for one in sensor.at(day + 1.01)]

    assert [day for day, _ in requested] == [1, 4]
    first = requested[0][1]
    assert first.partition_key == "colours"
    ops = first.run_config["ops"]
    assert ops["optimization_run"]["config"]["seed_offset"] == ops["evaluation"]["config"]["sample"] > 0
    assert [one["facts"]["drift"] for one in hook.received] == ["inputs", "inputs"]
    assert len({one.run_key for _, one in requested}) == 2


def test_looks_go_on_while_the_sensor_rests(sensor: Sensor, hook: Webhook) -> None:
    production = sensor.production
    prompt_id = production.promote(production.write(cooldown_days=3))
    with production.database.session() as session:
        production_checks.save(session, check(prompt_id, 1, worse=True))
    sensor.at(0.1)
    for day in range(3):
        production.calls(prompt_id, day, 300, centre=4.0 if day == 0 else 4.6)
        sensor.at(day + 1.01)
    with production.database.session(read_only=True) as session:
        reference, latest = input_checks.reference_and_latest(session, "colours", prompt_id)
    assert reference is not None
    assert reference.until == PROMOTED + timedelta(days=1.01)
    assert latest is not None
    assert (latest.look, latest.drifted) == (2, True)
    assert [one["facts"]["drift"] for one in hook.received] == ["score"]
    sensor.at(3.2)
    assert [one["facts"]["drift"] for one in hook.received] == ["score", "inputs"]


def test_the_cursor_survives_and_a_lost_one_tells_nothing_twice(sensor: Sensor, hook: Webhook) -> None:
    prompt_id = sensor.production.promote(sensor.production.write(then="optimize"))
    with sensor.production.database.session() as session:
        production_checks.save(session, check(prompt_id, 1, worse=True))
    (request,) = sensor.at(2)
    assert "colours" in json.loads(sensor.cursor or "{}")
    assert sensor.at(2.1) == []
    sensor.cursor = None
    (again,) = sensor.at(2.2)
    assert again.run_key == request.run_key  # for Dagster that is the same request
    assert len(hook.received) == 1


def test_a_worse_score_is_told_and_starts_nothing_unless_asked(sensor: Sensor, hook: Webhook) -> None:
    prompt_id = sensor.production.promote(sensor.production.write())
    with sensor.production.database.session() as session:
        production_checks.save(session, check(prompt_id, 0, worse=False))
    assert sensor.at(1) == []
    assert hook.received == []
    with sensor.production.database.session() as session:
        production_checks.save(session, check(prompt_id, 1, worse=True, at=PROMOTED + timedelta(days=1)))
    assert sensor.at(2) == []
    (told,) = hook.received
    assert told["title"] == "Production of colours has drifted: score"
    assert "Nothing was started." in told["lines"]


def test_what_is_not_production_s_traffic_does_not_count(sensor: Sensor) -> None:
    prompt_id = sensor.production.promote(sensor.production.write())
    for purpose in ("evaluate", "optimize", "check"):
        sensor.production.calls(prompt_id, 0, 300, purpose=purpose)
    sensor.production.calls("e" * 64, 0, 300)
    sensor.production.calls(prompt_id, 0, 300, status="fallback")
    sensor.production.calls(prompt_id, 0, 300, step="second")
    sensor.at(1.01)
    with sensor.production.database.session(read_only=True) as session:
        assert input_checks.reference_and_latest(session, "colours", prompt_id) == (None, None)


def test_a_task_without_production_is_left_alone(sensor: Sensor) -> None:
    sensor.production.write()
    assert sensor.at(1) == []
