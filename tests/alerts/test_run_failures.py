"""Failed runs: told once, a burst in one message, never lost by a hook that was away, no keys in any log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from servers.webhook import Webhook
from upath import UPath

from assets.one_partition import AssetEvent, OnePartition, each_partition
from resources.alerts_resource import AlertsResource
from resources.database.session import Database
from sensors.run_failures import run_failure_alerts, tick

SECRET = "row-content-7f3a"


@dg.op
def breaks() -> None:
    raise ValueError(f"cannot read {SECRET}")


@dg.op
def refuses() -> None:
    raise dg.Failure("tasks/colours.yaml: name is missing")


@dg.job
def broken() -> None:
    breaks()


@dg.job
def refused() -> None:
    refuses()


class Sensor:
    """The sensor with its cursor, as the daemon keeps it."""

    def __init__(self, instance: dg.DagsterInstance, database: Database, alerts: AlertsResource) -> None:
        self.instance, self.database, self.alerts = instance, database, alerts
        self.cursor: str | None = None

    def tick(self, now: datetime | None = None) -> None:
        context = dg.build_sensor_context(instance=self.instance, cursor=self.cursor)
        result = tick(context, self.alerts, self.database, now or datetime.now(UTC))
        assert isinstance(result, dg.SensorResult)
        self.cursor = result.cursor


@pytest.fixture
def sensor(database: Database, hook: Webhook) -> Iterator[Sensor]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Sensor(instance, database, AlertsResource(webhook_url=hook.url, ui_url="http://ui:3000/"))


def fail(sensor: Sensor, job: dg.JobDefinition = broken, **tags: str) -> str:
    return job.execute_in_process(instance=sensor.instance, raise_on_error=False, tags=tags).run_id


def test_each_failed_run_is_told_once(sensor: Sensor, hook: Webhook) -> None:
    fail(sensor)  # before the sensor was first turned on
    sensor.tick()
    ours = fail(sensor, refused, **{"dagster/partition": "colours"})
    sensor.tick()
    sensor.tick()

    (told,) = hook.received
    assert told["title"] == "refused of colours failed"
    assert told["lines"] == ["step refuses: tasks/colours.yaml: name is missing", f"run {ours}"]
    assert told["link"] == f"http://ui:3000/runs/{ours}"
    assert told["facts"]["run_id"] == ours


def test_a_cursor_that_was_lost_repeats_nothing(sensor: Sensor, hook: Webhook) -> None:
    sensor.tick()
    before = sensor.cursor
    fail(sensor)
    sensor.tick()
    sensor.cursor = before  # the daemon died before it kept the new one
    sensor.tick()
    assert len(hook.received) == 1


def test_an_error_s_text_is_not_told(sensor: Sensor, hook: Webhook) -> None:
    sensor.tick()
    fail(sensor)
    sensor.tick()
    (told,) = hook.received
    assert "ValueError" in told["lines"][0]
    assert SECRET not in str(told)


def test_nor_is_it_by_a_run_of_several_partitions(sensor: Sensor, hook: Webhook, tmp_path: Path) -> None:
    def make(one: OnePartition) -> Iterator[AssetEvent]:
        if one.partition_key == "sizes":
            raise dg.Failure("tasks/sizes.yaml: name is missing")
        raise ValueError(f"cannot read {SECRET}")

    @dg.asset(
        partitions_def=dg.StaticPartitionsDefinition(["colours", "sizes"]),
        backfill_policy=dg.BackfillPolicy.single_run(),
    )
    def dataset(context):
        yield from each_partition(context, UPath(tmp_path), make)

    sensor.tick()
    both = {"dagster/asset_partition_range_start": "colours", "dagster/asset_partition_range_end": "sizes"}
    dg.materialize([dataset], instance=sensor.instance, tags=both, raise_on_error=False)
    sensor.tick()
    (told,) = hook.received
    assert (
        "2 of 2 partitions failed: colours: ValueError; the run's log says more; sizes: tasks/sizes.yaml: name"
        in told["lines"][0]
    )
    assert SECRET not in str(told)


def test_a_burst_is_one_message(sensor: Sensor, hook: Webhook) -> None:
    sensor.tick()
    ids = {fail(sensor) for _ in range(4)} | {fail(sensor, refused) for _ in range(3)}
    sensor.tick()
    fail(sensor)
    sensor.tick()

    first, second = hook.received
    assert first["title"] == "7 runs failed"
    assert "4 x broken" in first["lines"]
    assert set(first["facts"]["run_ids"]) == ids
    assert second["title"] == "broken failed"


def test_a_run_that_will_be_tried_again_is_not_told(sensor: Sensor, hook: Webhook) -> None:
    sensor.tick()
    fail(sensor, **{"dagster/will_retry": "true"})
    sensor.tick()
    assert hook.received == []


def test_a_hook_that_refuses_is_told_later(sensor: Sensor, hook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    sensor.tick()
    fail(sensor)
    hook.answers = [503, 302]
    now = datetime.now(UTC)
    with caplog.at_level(logging.WARNING):
        for after_s in (0, 20, 31, 90):
            sensor.tick(now + timedelta(seconds=after_s))
            assert hook.received == []
        sensor.tick(now + timedelta(seconds=95))
    assert len(hook.received) == 1
    assert len(hook.keys) == 3
    assert "HTTP 503" in caplog.text
    assert "secret-token" not in caplog.text


def test_what_was_never_answered_is_sent_again_with_its_id(
    sensor: Sensor, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    sensor.tick()
    fail(sensor)
    hook.answers = [None]
    now = datetime.now(UTC)
    with caplog.at_level(logging.WARNING):
        for after_s in (0, 40, 80):
            sensor.tick(now + timedelta(seconds=after_s))
    first, again = hook.received
    assert first == again
    assert hook.keys == [first["id"], first["id"]]
    assert "is tried again later" in caplog.text
    assert "secret-token" not in caplog.text


def test_a_hook_that_is_away_is_told_later(sensor: Sensor, hook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = sensor.alerts
    sensor.tick()
    fail(sensor)
    sensor.alerts = AlertsResource(webhook_url=f"http://127.0.0.1:{port}/secret-token")
    sensor.tick()
    assert "secret-token" not in caplog.text
    sensor.alerts = there
    sensor.tick(datetime.now(UTC) + timedelta(seconds=40))
    assert len(hook.received) == 1


def test_slack_gets_what_slack_takes(sensor: Sensor, hook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    sensor.alerts = AlertsResource(slack_url=hook.url, log=True)
    sensor.tick()

    @dg.op
    def angry() -> None:
        raise dg.Failure("a < b & c")

    @dg.job
    def odd() -> None:
        angry()

    fail(sensor, odd)
    with caplog.at_level(logging.ERROR, logger="promptory.alerts"):
        sensor.tick()
    (told,) = hook.received
    assert told["text"] == "odd failed"
    assert "a &lt; b &amp; c" in told["blocks"][0]["text"]["text"]
    assert "odd failed" in caplog.text


def test_the_sensor_is_on_where_a_hook_is_configured(database: Database) -> None:
    assert run_failure_alerts(configured=True).default_status is dg.DefaultSensorStatus.RUNNING
    assert run_failure_alerts(configured=False).default_status is dg.DefaultSensorStatus.STOPPED
    context: Any = dg.build_sensor_context()
    assert isinstance(tick(context, AlertsResource(), database, datetime.now(UTC) + timedelta(1)), dg.SkipReason)
