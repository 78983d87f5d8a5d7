"""Fixtures every part of the tests may use."""

from __future__ import annotations

import signal

from hypothesis import HealthCheck, settings
from one_day import one_day
from servers.fixtures import openai_server, upgraded_file
from servers.gcs_server import gcs_root
from servers.postgres import _upgraded_name, postgres_server, postgres_url, upgraded_postgres_url
from servers.s3_server import s3_root, s3_server
from servers.valkey import forgetful_server, redis_url, valkey_server

__all__ = [
    "_upgraded_name",
    "forgetful_server",
    "gcs_root",
    "one_day",
    "openai_server",
    "postgres_server",
    "postgres_url",
    "redis_url",
    "s3_root",
    "s3_server",
    "upgraded_file",
    "upgraded_postgres_url",
    "valkey_server",
]


# Hypothesis without a clock, and the same examples on every run. Here, because what is collected before a profile is
# loaded keeps the former one, with its 200 ms for an example.
settings.register_profile(
    "tests", deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")


def pytest_configure() -> None:
    """Who starts the tests in the background makes them deaf to Ctrl-C, and with them every process they start."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
