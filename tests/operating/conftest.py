"""The client over a scripted provider, on virtual time, as the tests of the core have it."""

from core.conftest import bench, ledger_url, provider, time

__all__ = ["bench", "ledger_url", "provider", "time"]
