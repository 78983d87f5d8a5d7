"""Backfills: launching one, and how far it is."""

from __future__ import annotations

from typing import Literal

from rich.console import Console

from orchestration import backfill
from orchestration.backfill import PartitionFailure, Status, Way
from orchestration.cli.opening import make_database
from orchestration.cli.progress_bars import progress_bars
from orchestration.cli.screen import emit, facts, table
from orchestration.environments import Environment
from resources.observability.progress import board

SHOWN_FAILURES = 20
SUCCEEDED, FAILED, NOT_OVER = 0, 1, 2
STAGE = "backfill"


def launched(
    assets: list[str],
    partitions: list[str] | None,
    key: str | None,
    force: bool,
    way: Way | Literal["auto"],
    wait: bool,
    as_json: bool,
    verbose: bool,
) -> int:
    """Launch, and stay where this process does the work or somebody asked to wait. The exit code."""
    environment = Environment.read()
    make_database(environment)
    with progress_bars(shown=not as_json and not verbose):
        started = backfill.launch(
            assets,
            partitions or "all",
            key=key,
            force=force,
            way=way,
            environment=environment,
            watch=_report,
            verbose=verbose,
        )
        found = backfill.status(started.key)
        if wait and not found.is_over:
            found = backfill.wait(started.key, watch=_report)
    emit(as_json, found.values(), lambda screen: _show(screen, found))
    made_elsewhere = started.way == "in_process" and not found.is_over
    return NOT_OVER if made_elsewhere else _code(found)


def shown(key: str, as_json: bool) -> None:
    """Print the status."""
    found = backfill.status(key)
    emit(as_json, found.values(), lambda screen: _show(screen, found))


def waited(key: str, timeout_s: float | None, as_json: bool) -> int:
    """Wait, and print how it ended. The exit code."""
    with progress_bars(shown=not as_json):
        try:
            found = backfill.wait(key, timeout_s=timeout_s, watch=_report)
        except TimeoutError:
            found = None
    seen = found or backfill.status(key)
    emit(as_json, seen.values(), lambda screen: _show(screen, seen))
    return NOT_OVER if found is None else _code(found)


def cancelled(key: str, as_json: bool) -> None:
    """Cancel, and print what came of it."""
    found = backfill.cancel(key)
    emit(as_json, found.values(), lambda screen: _show(screen, found))


def listed(limit: int, as_json: bool) -> None:
    """Print the newest ones."""
    found = backfill.list_backfills(limit=limit)
    value = {"backfills": [{**one.values(), "state": state} for one, state in found]}
    columns = ("key", "id", "launched (UTC)", "by", "assets x partitions", "state")
    rows = [
        [
            one.key,
            one.id,
            f"{one.created_at:%Y-%m-%d %H:%M}",
            one.way,
            f"{one.total:,} of {', '.join(one.targets)}",
            state,
        ]
        for one, state in found
    ]
    emit(as_json, value, lambda screen: screen.print(table(None, columns, rows) if rows else "None was launched yet."))


def _report(status: Status) -> None:
    failed = f"{len(status.failed):,} failed" if status.failed else ""
    board.report(STAGE, status.done + len(status.failed), status.backfill.total, failed)


def _show(screen: Console, found: Status) -> None:
    one = found.backfill
    told: dict[str, object] = {
        "backfill": f"{one.key} ({one.id}), {_worker(one.way)}",
        "state": found.state,
        "made": f"{found.done:,} of {one.total:,} ({len(found.runs):,} runs)",
    }
    told |= {f"  {asset}": f"{len(found.made[asset]):,} of {len(keys):,}" for asset, keys in one.targets.items()}
    if found.failed:
        told["failed"] = f"{len(found.failed):,}"
    if found.error:
        told["error"] = found.error
    screen.print(facts(told))
    if found.failed:
        screen.print(_failures(found.failed))
    for sentence in _next(found):
        screen.print(sentence, soft_wrap=True)


def _failures(failed: tuple[PartitionFailure, ...]) -> object:
    columns = ("asset", "partition", "reason")
    rows = [[one.asset, one.partition, one.reason] for one in failed[:SHOWN_FAILURES]]
    more = f" (the first {SHOWN_FAILURES} of {len(failed):,})" if len(failed) > SHOWN_FAILURES else ""
    return table(f"Failed{more}", columns, rows, whole=columns[:2])


def _worker(way: Way) -> str:
    return "made by Dagster's daemon" if way == "daemon" else "made by the process that launched it"


def _next(found: Status) -> list[str]:
    key = found.backfill.key
    if found.state == "interrupted":
        return [f"Its process is gone: launch it again with --key {key}, and it goes on from here."]
    if found.state == "running":
        return [f"Watch it: promptory backfill wait {key}"]
    if found.state == "failed":
        return ["Mend what failed and launch the rest under a new key: what is made by then is fresh and left out."]
    return []


def _code(found: Status) -> int:
    if found.state == "interrupted":
        return NOT_OVER
    return FAILED if found.failed or found.state in ("failed", "canceled") else SUCCEEDED
