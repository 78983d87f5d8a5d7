"""Whether a Dagster daemon is there to work on backfills."""

from __future__ import annotations

import dagster as dg

BACKFILL_DAEMON = "BACKFILL"
# The daemon writes one every 30 s. Dagster itself calls it healthy for half an hour: whoever stopped `dg dev` a minute
# ago would launch into the void.
FRESH_S = 120.0


def has_daemon(instance: dg.DagsterInstance, now: float) -> bool:
    """Whether a daemon that launches backfills' runs has shown itself on this instance in the last two minutes.

    Args:
        now: epoch seconds.
    """
    heartbeat = instance.get_daemon_heartbeats().get(BACKFILL_DAEMON)
    return heartbeat is not None and now - heartbeat.timestamp < FRESH_S
