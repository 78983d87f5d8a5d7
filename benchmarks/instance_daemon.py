"""Dagster's daemon, which looks at backfills every few seconds instead of twice a minute: no setting says how often."""

from dagster._daemon import controller
from dagster._daemon.cli import main

LOOK_S = 5

if __name__ == "__main__":
    controller.DEFAULT_DAEMON_INTERVAL_SECONDS = LOOK_S
    main()
