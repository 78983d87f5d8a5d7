"""Load, and what came of it."""

from __future__ import annotations

import random
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from decimal import Decimal, InvalidOperation
from typing import Any

from rich.console import Console

from domain.dataset import Split
from domain.errors import DatabaseUnavailableError, InputError
from domain.prompt import PromptVersion
from domain.rendering import StepRenderer
from orchestration.cli.figures import dollars, percent, usd
from orchestration.cli.opening import ask_core, current_database, open_catalog
from orchestration.cli.progress_bars import progress_bars
from orchestration.cli.screen import emit, facts, table
from orchestration.cli.views.health import health_values, show_health
from orchestration.cli.views.validation import check_dataset
from orchestration.environments import Environment
from resources.catalog.catalog import CatalogEntry
from resources.database.repositories import prompt_versions
from resources.llm import CallContext, LLMClient, Request
from resources.llm.health import Health
from resources.llm.load import PERCENTILES, Load, LoadPlan, LoadReport
from resources.llm.prompt_request import build_request
from resources.llm.types import Priority
from resources.observability.progress import board
from resources.storage.location import path_at

PRIORITIES: tuple[Priority, ...] = ("normal", "high")


@dataclass(frozen=True, slots=True)
class Wish:
    """The command's options."""

    task: str | None
    prompt: str | None
    model: str | None
    requests: int
    rate: float
    high_share: float
    concurrency: int
    fresh: bool
    budget_usd: str
    seed: int


def loaded(wish: Wish, as_json: bool) -> None:
    """Send, then print totals and the guards' state."""
    environment = Environment.read()
    cap = _cap(wish.budget_usd)
    entry = _entry(environment, wish.task)
    prompt = _prompt(environment, entry, wish.prompt)
    requests = _requests(environment, entry, prompt, wish.model)
    load_id = uuid.uuid4().hex[:12]
    scope = f"run:load-{load_id}"
    settings = environment.core_settings()
    settings = settings.model_copy(update={"budgets": {**settings.budgets, scope: cap}})
    context = CallContext(
        purpose="load",
        task=entry.task.name,
        scopes=("org", "day", "month", scope),
        prompt_version_id=prompt.id if wish.model in (None, prompt.model) else None,
        run_id=f"load-{load_id}",
    )
    plan = LoadPlan(wish.requests, wish.rate, wish.high_share, wish.concurrency, wish.fresh)

    async def send(client: LLMClient) -> tuple[LoadReport, Health]:
        rng = random.Random(wish.seed)  # noqa: S311 - chooses priorities, keeps no secret
        load = Load(client, requests, context, plan, rng=rng, on_progress=lambda report: _tell(report, plan))
        try:
            report = await load.run()
            with suppress(DatabaseUnavailableError):  # then the health says how many calls wait for it
                await client.flush()
            return report, await client.health()
        finally:
            await client.set_cap(scope, None)

    with progress_bars(shown=not as_json):
        report, health = ask_core(settings, send)
    sent_to = {"load_id": load_id, "task": entry.task.name, "model": requests[0].model, "cap_usd": cap}
    value = {**sent_to, "plan": asdict(plan), **_values(report), "health": health_values(health)}
    emit(as_json, value, lambda console: _show(console, sent_to, plan, report, health))


def _cap(amount: str) -> Decimal:
    try:
        cap = Decimal(amount)
    except InvalidOperation:
        cap = Decimal("NaN")
    if not (cap.is_finite() and cap >= 0):
        raise InputError(f"{amount!r} is not an amount of USD", field="budget-usd", mend="write a number, e.g. 0.10.")
    return cap


def _entry(environment: Environment, name: str | None) -> CatalogEntry:
    catalog = open_catalog(environment)
    if name is not None:
        return catalog.get(name)
    entries = catalog.read().entries
    if not entries:
        raise InputError("the catalog has no task to send", field="task", mend="name one with --task, or add one.")
    return entries[0]


def _prompt(environment: Environment, entry: CatalogEntry, reference: str | None) -> PromptVersion:
    if reference is None:
        return entry.task.prompt.version()
    with current_database(environment) as database, database.session(read_only=True) as session:
        return prompt_versions.get(session, entry.task.name, reference).prompt


def _requests(
    environment: Environment, entry: CatalogEntry, prompt: PromptVersion, model: str | None
) -> tuple[Request, ...]:
    """One request per row, of the prompt's first step; rows of the sealed test split are left out."""
    ingested, _ = check_dataset(entry.task, entry.path, path_at(environment.landing_root))
    rows = [row for row in ingested.rows.values() if row.split is not Split.TEST]
    if not rows:
        raise InputError("the task has no rows outside its test split", file=str(entry.path), mend="add rows.")
    renderer = StepRenderer(prompt.steps[0])
    made = (build_request(prompt, renderer.render(dict(row.inputs))) for row in rows)
    return tuple(request if model is None else replace(request, model=model) for request in made)


def _tell(report: LoadReport, plan: LoadPlan) -> None:
    done = report.ok + report.fallbacks.total() + report.failures.total()
    board.report("load", done, plan.requests, f"{report.ok:,} ok, {report.fallbacks.total():,} fallbacks")


def _values(report: LoadReport) -> dict[str, Any]:
    return {
        "elapsed_s": report.elapsed_s,
        "sent": report.sent,
        "requests_per_second": report.sent / report.elapsed_s if report.elapsed_s else None,
        "ok": report.ok,
        "cached": report.cached,
        "late": report.late,
        "fallbacks": dict(report.fallbacks),
        "failures": dict(report.failures),
        "input_tokens": report.input_tokens,
        "output_tokens": report.output_tokens,
        "cost_nano_usd": report.cost_nano_usd,
        "cost_usd": usd(report.cost_nano_usd),
        "latency_s": {priority: _latency(report, priority) for priority in PRIORITIES},
    }


def _latency(report: LoadReport, priority: Priority) -> dict[str, Any]:
    found = report.latency_percentiles_s(priority)
    answers = len(report.latencies_s.get(priority, ()))
    return {"answers": answers, **{f"p{percentile}": found.get(percentile) for percentile in PERCENTILES}}


def _show(console: Console, sent_to: Mapping[str, object], plan: LoadPlan, report: LoadReport, health: Health) -> None:
    pace = report.sent / report.elapsed_s if report.elapsed_s else 0.0
    seen: dict[str, object] = {
        "sent": f"{report.sent:,} of {sent_to['task']} to {sent_to['model']} in {report.elapsed_s:.1f} s "
        f"({pace:.1f} a second, asked for {plan.rate:g})",
        "answered": f"{report.ok:,} ({percent(report.ok / report.sent)}), {report.cached:,} of them cached",
    }
    seen |= {f"fallback, {reason}": f"{count:,}" for reason, count in report.fallbacks.most_common()}
    seen |= {f"failed, {reason}": f"{count:,}" for reason, count in report.failures.most_common()}
    if report.late:
        seen["begun late"] = f"{report.late:,}: {plan.concurrency} were under way"
    seen["tokens"] = f"{report.input_tokens:,} in, {report.output_tokens:,} out"
    seen["cost"] = f"{dollars(report.cost_nano_usd)} of at most ${sent_to['cap_usd']}"
    console.print(facts(seen))
    columns = ["priority", "answers", *(f"p{percentile}" for percentile in PERCENTILES)]
    console.print(table("Latency", columns, [_row(report, one) for one in PRIORITIES], right=columns[1:]))
    show_health(console, health)


def _row(report: LoadReport, priority: Priority) -> list[str]:
    found = report.latency_percentiles_s(priority)
    times = (f"{1000 * found[one]:.1f} ms" if one in found else "–" for one in PERCENTILES)
    return [priority, f"{len(report.latencies_s.get(priority, ())):,}", *times]
