"""What must hold when all is over, however often Dagster's processes were killed meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from upath import UPath

from benchmarks.instance_books import Ledger, read_ledger, scopes_at_rest, set_invoice_against
from benchmarks.instance_place import (
    BACKFILL,
    BATCH,
    BATCH_TASK,
    CONCURRENCY,
    JOBS,
    JOBS_TASK,
    LETTERS,
    ROWS,
    Place,
    Round,
    label_of,
)
from benchmarks.instance_processes import WebServer
from benchmarks.instance_watch import all_batches
from domain.batch.states import BatchState
from orchestration import backfill
from resources.batch_inference.reading import BatchResults
from resources.batch_inference.steering import look_at
from resources.database.repositories import provider_jobs
from resources.database.repositories.batches import BatchRecord
from sensors.batch_files import UNFINISHED

# Rows at the provider, and half as many more being admitted or written down; see docs/batches.md.
MOST_ROWS = {BATCH: CONCURRENCY[BATCH] + CONCURRENCY[BATCH] // 2 + 1, BACKFILL: CONCURRENCY[BACKFILL]}


@dataclass
class Figures:
    """What came of it all.

    Attributes:
        repeated: rows asked more than once, each time counted.
        named: of them, what batches name as paid for twice; `named_later` of these after they had ended. On Redis a
            process counts as dead once it was silent for `lease_s`, and a batch may end before.
        ambiguous: attempts whose answer nobody heard; `ambiguous_billed` of them were billed.
    """

    rows: int = 0
    partitions: int = 0
    jobs: int = 0
    runs: int = 0
    failed_runs: int = 0
    repeated: int = 0
    named: int = 0
    named_later: int = 0
    ambiguous: int = 0
    ambiguous_billed: int = 0
    invoice_nano_usd: int = 0
    problems: list[str] = field(default_factory=list)


def audit(
    place: Place, instance: dg.DagsterInstance, web: WebServer, rounds: Sequence[Round], lost: Counter[str]
) -> Figures:
    """All checks. `lost`: by work, how often the process of its run died."""
    figures = Figures()
    ledger = read_ledger(place)
    figures.problems += _wrong_batches(place, rounds, figures)
    figures.problems += _wrong_jobs(place, figures)
    figures.problems += _wrong_backfills(instance, rounds, figures)
    figures.problems += _wrong_runs(instance, web, figures)
    figures.problems += _wrong_repeats(place, instance, ledger, lost, figures)
    books = set_invoice_against(place, ledger, scopes_at_rest(place))
    figures.problems += books.differences
    figures.invoice_nano_usd = books.invoice
    figures.ambiguous = len(books.doubts)
    figures.ambiguous_billed = sum(doubt.billed is not None for doubt in books.doubts)
    return figures


def _wrong_batches(place: Place, rounds: Sequence[Round], figures: Figures) -> Iterator[str]:
    found = all_batches(place)
    for task in (BATCH_TASK, JOBS_TASK):
        if (count := sum(record.task == task for record in found)) != len(rounds):
            yield f"{count} batches of {task} were made of {len(rounds)} files"
    for record in found:
        if record.state != BatchState.DONE:
            yield f"batch {record.id[:8]} of {record.task} is {record.state}: {record.reason}"
            continue
        rows = list(BatchResults(place.database, UPath(place.environment.storage_root), record.id).rows())
        figures.rows += len(rows)
        yield from _wrong_rows(record, rows)


def _wrong_rows(record: BatchRecord, rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    wanted = ROWS[BATCH if record.task == BATCH_TASK else JOBS]
    prefixes = {row["key"].rpartition("-")[0] for row in rows}
    if len(prefixes) != 1:
        yield f"batch {record.id[:8]} holds rows of {sorted(prefixes)}"
        return
    keys = [f"{prefix}-{number}" for prefix in prefixes for number in range(1, wanted + 1)]
    if [row["key"] for row in rows] != keys:
        yield f"rows lost or doubled in batch {record.id[:8]}: {len(rows)} of {wanted}"
    wrong = [row["key"] for row in rows if (row["status"], row["value"]) != ("ok", label_of(row["key"]))]
    if wrong:
        yield f"batch {record.id[:8]}: not answered rightly: {wrong[:10]}"
    if len({row["call_id"] for row in rows}) != len(rows):
        yield f"batch {record.id[:8]}: two rows name one call"


def _wrong_jobs(place: Place, figures: Figures) -> Iterator[str]:
    twice = {name: times for name, times in place.provider.handed_over().items() if times > 1}
    if twice:
        yield f"rows were handed over twice: {dict(list(twice.items())[:10])}"
    if place.provider.has_asked("p"):
        yield "rows of a provider batch were asked directly, though their jobs answered them"
    with place.database.session(read_only=True) as session:
        found = [job for record in all_batches(place) for job in provider_jobs.of_batch(session, record.id)]
    figures.jobs = len(found)
    if states := {job.state for job in found} - {"closed"}:
        yield f"provider jobs are left {sorted(states)}"
    known, there = Counter(job.provider_id for job in found), set(place.provider.server.jobs)
    if set(known) != there:
        yield f"jobs at the provider that nobody adopted, or that are not there: {set(known) ^ there}"
    if known and max(known.values()) > 1:
        yield f"jobs were settled for two intents: {known.most_common(3)}"
    if left := set(place.provider.server.files):
        yield f"files are left at the provider: {sorted(left)[:10]}"


def _wrong_backfills(instance: dg.DagsterInstance, rounds: Sequence[Round], figures: Figures) -> Iterator[str]:
    for one in rounds:
        status = backfill.status(one.key)
        figures.partitions += status.done
        total = len(one.assets) * len(one.shelves)
        if (status.state, status.done, status.failed) != ("succeeded", total, ()):
            yield f"backfill {one.key} is {status.state}, {status.done} of {total} made: {status.failed} {status.error}"
        for asset in one.assets:
            made = instance.get_materialized_partitions(dg.AssetKey(asset))
            if missing := set(one.shelves) - set(made):
                yield f"backfill {one.key} says it made {asset} of {sorted(missing)}, which is not there"


def _wrong_runs(instance: dg.DagsterInstance, web: WebServer, figures: Figures) -> Iterator[str]:
    runs = {run.run_id: run for run in instance.get_runs()}
    figures.runs = len(runs)
    figures.failed_runs = sum(run.status is dg.DagsterRunStatus.FAILURE for run in runs.values())
    for run in runs.values():
        if run.status in UNFINISHED:
            yield f"run {run.run_id} of {run.job_name} is left {run.status.value}"
        elif run.is_complete_and_waiting_to_retry:
            yield f"run {run.run_id} of {run.job_name} died and was never started again"
    shown = web.runs()
    if shown != {run_id: run.status.value for run_id, run in runs.items()}:
        yield "the web server shows other runs than the instance has"


def _wrong_repeats(
    place: Place, instance: dg.DagsterInstance, ledger: Ledger, lost: Counter[str], figures: Figures
) -> Iterator[str]:
    again = {name: times - 1 for name, times in place.provider.asked().items() if times > 1}
    figures.repeated = sum(again.values())
    named = Counter[str]()
    root = UPath(place.environment.storage_root)
    by_silence = place.environment.state.startswith("redis")
    for record in all_batches(place):
        view = look_at(place.database, root, record.id, datetime.now(UTC))
        later = [repeat for repeat in view.repeats if repeat not in record.repeats]
        figures.named_later += len(later)
        if len(later) + len(record.repeats) != len(view.repeats) or (later and not by_silence):
            yield f"batch {record.id[:8]}: the repeats it recorded are not those that the ledger tells of"
        named.update(ledger.name_of(record.task, record.id, str(repeat["row"])) for repeat in view.repeats)
    figures.named = named.total()
    for name, times in again.items():
        known = named if LETTERS[name[0]] == BATCH else ledger.ambiguous
        if times > known[name]:
            yield f"row {name} was asked {times + 1} times, {known[name]} repeats are named"
    for work, most in MOST_ROWS.items():
        count = sum(times for name, times in again.items() if LETTERS[name[0]] == work)
        if count > most * lost[work]:
            yield f"{count} rows of a {work} were asked again after {lost[work]} kills with {most} under way"
    told = _told_in_metadata(instance)
    if told != named.total() - figures.named_later:
        yield f"batches recorded {named.total() - figures.named_later} calls as paid for twice, runs' metadata {told}"


def _told_in_metadata(instance: dg.DagsterInstance) -> int:
    """Calls that materializations of `batch_predictions` name as paid for twice."""
    asked = dg.AssetRecordsFilter(asset_key=dg.AssetKey("batch_predictions"))
    made = [one.asset_materialization for one in instance.fetch_materializations(asked, limit=1000).records]
    return sum(int(str(one.metadata["repeated_after_a_kill"].value)) for one in made if one is not None)
