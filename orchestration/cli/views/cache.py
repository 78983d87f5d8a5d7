"""The cache of answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from orchestration.cli.figures import percent
from orchestration.cli.opening import ask_core
from orchestration.cli.screen import emit, facts
from orchestration.environments import Environment


def shown(as_json: bool) -> None:
    """Counts and bounds."""
    settings = Environment.read().core_settings()
    stats = ask_core(settings, lambda client: client.cache_stats())
    asked = stats.hits + stats.misses
    value: dict[str, Any] = {**asdict(stats), "hit_rate": stats.hits / asked if asked else 0.0}
    value |= settings.cache.model_dump()
    seen = {
        "entries": f"{stats.entries:,} of {settings.cache.max_entries:,}",
        "size": f"{stats.size_bytes:,} bytes",
        "hits": f"{stats.hits:,} of {asked:,} ({percent(value['hit_rate'])})",
        "kept for": f"{settings.cache.ttl_s:g} s",
    }
    if not settings.cache.enabled:
        seen["enabled"] = "no: every call reaches a provider"
    emit(as_json, value, lambda console: console.print(facts(seen)))


def cleared(as_json: bool) -> None:
    """Drop all entries."""
    dropped = ask_core(Environment.read().core_settings(), lambda client: client.clear_cache())
    emit(as_json, {"dropped": dropped}, lambda console: console.print(f"{dropped:,} cached answers dropped."))
