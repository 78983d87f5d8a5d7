"""The cache of answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from domain.errors import InputError
from orchestration.cli.figures import percent
from orchestration.cli.opening import ask_core
from orchestration.cli.screen import emit, facts
from orchestration.environments import Environment
from resources.llm.settings import CoreSettings


def shown(namespace: str | None, as_json: bool) -> None:
    """Counts and bounds."""
    settings = Environment.read().core_settings()
    stats = ask_core(settings, lambda client: client.cache_stats(namespace))
    value: dict[str, Any] = {**settings.cache.model_dump(), **asdict(stats)}
    seen = {
        "entries": f"{stats.entries:,}{_bound(settings, namespace)}",
        "size": f"{stats.size_bytes:,} bytes",
    }
    if stats.hits is not None and stats.misses is not None:
        asked = stats.hits + stats.misses
        value["hit_rate"] = stats.hits / asked if asked else 0.0
        seen["hits"] = f"{stats.hits:,} of {asked:,} ({percent(value['hit_rate'])})"
    if namespace is not None:
        value["namespace"] = namespace
        seen["namespace"] = namespace or "without a name"
    seen["kept for"] = f"{settings.cache.ttl_s:g} s"
    if not settings.cache.enabled:
        seen["enabled"] = "no: every call reaches a provider"
    emit(as_json, value, lambda console: console.print(facts(seen)))


def _bound(settings: CoreSettings, namespace: str | None) -> str:
    return f" of {settings.cache.max_entries:,}" if namespace is None else ""


def cleared(namespace: str | None, everything: bool, as_json: bool) -> None:
    """Drop entries.

    Raises:
        InputError: one namespace and all of them were asked for.
    """
    if everything and namespace is not None:
        raise InputError("--all and --namespace say different things", field="namespace", mend="leave one of them out.")
    settings = Environment.read().core_settings()
    meant = None if everything else (settings.cache.namespace or None) if namespace is None else namespace
    dropped = ask_core(settings, lambda client: client.clear_cache(meant))
    where = "" if meant is None else f" of the namespace {meant!r}"
    value = {"dropped": dropped, "namespace": meant}
    emit(as_json, value, lambda console: console.print(f"{dropped:,} cached answers{where} dropped."))
