"""Fixtures every part of the tests may use."""

from __future__ import annotations

from servers.fixtures import openai_server
from servers.postgres import _upgraded_name, postgres_server, postgres_url, upgraded_postgres_url

__all__ = ["_upgraded_name", "openai_server", "postgres_server", "postgres_url", "upgraded_postgres_url"]
