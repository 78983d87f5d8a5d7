"""Sensor: budgets that run down, told to people."""

from collections.abc import Sequence
from datetime import UTC, datetime, tzinfo

import dagster as dg

from resources.alerts.alert import Alert
from resources.alerts.budgets import budget_notices
from resources.alerts.delivery import deliver, tell
from resources.alerts.freezes import number_freezes
from resources.alerts.sinks import Sink
from resources.alerts_resource import AlertsResource
from resources.database.session import Database
from resources.database_resource import DatabaseResource
from resources.llm.budget_summary import BudgetLine
from resources.llm_resource import LLMResource

INTERVAL_S = 60


def budget_burn_alerts(*, configured: bool) -> dg.SensorDefinition:
    """The sensor; on by default where somebody said where alerts go."""

    @dg.sensor(
        name="budget_burn_alerts",
        minimum_interval_seconds=INTERVAL_S,
        default_status=dg.DefaultSensorStatus.RUNNING if configured else dg.DefaultSensorStatus.STOPPED,
        description=(
            "Tells the configured hooks, once per budget window and cap, that 50, 80 or 100 % of it is gone, that it "
            "is frozen, or that at this rate it will not last until its window ends."
        ),
    )
    def sensor(alerts: AlertsResource, llm: LLMResource, database: DatabaseResource) -> dg.SkipReason:
        sinks = alerts.sinks()
        if not sinks:
            return dg.SkipReason("No alert hook is configured.")
        now = datetime.now(UTC)
        with llm.client() as client:
            lines: tuple[BudgetLine, ...] = client.budget_summary()
        with database.connect() as opened:
            told = tell_budgets(opened, sinks, lines, now, llm.settings().zone)
        return dg.SkipReason(f"{len(lines)} budgets looked at, {told} worth telling.")

    return sensor


def tell_budgets(
    database: Database, sinks: Sequence[Sink], lines: Sequence[BudgetLine], now: datetime, zone: tzinfo
) -> int:
    """Tell what has not been told yet; how much there is to tell in all. What a hook does not take is tried again."""
    freezes = number_freezes(database, lines, now)
    notices = list(budget_notices(lines, freezes, now.timestamp(), zone))
    for notice in notices:

        def message(_keys: set[str], alert: Alert = notice.alert) -> Alert:
            return alert

        tell(database, sinks, "budget", notice.keys, message, now)
    deliver(database, sinks, now)
    return len(notices)
