"""What an optimization run would ask for and could cost, without asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from upath import UPath

from domain.dataset import Row, Split
from domain.errors import InputError
from domain.optimization import MiproV2Spec, OptimizerSpec
from domain.optimization_plan import planned_calls, planned_stages
from domain.parsing import format_output
from domain.pricing import nano_to_usd, reserve_nano_usd, usd_to_nano
from domain.prompt import Demonstration, PromptStep
from domain.rendering import StepRenderer
from domain.task import Task
from orchestration.cli.figures import dollars
from orchestration.cli.opening import open_catalog
from orchestration.cli.screen import emit, facts
from orchestration.cli.views.validation import check_dataset
from orchestration.environments import Environment
from resources.llm.prices import PriceBook
from resources.llm.prompt_request import build_request
from resources.llm.providers.tokens import byte_token_bound
from resources.llm.settings import CoreSettings


@dataclass(frozen=True, slots=True)
class Plan:
    """Money in nano-USD. `most_nano_usd` is None for a model without a price."""

    calls: int
    tokens_per_call: int
    most_nano_usd: int | None
    caps_nano_usd: dict[str, int]

    @property
    def bound_nano_usd(self) -> int | None:
        """The most the run can spend: its calls' worst case, or the smallest cap."""
        amounts = [*self.caps_nano_usd.values(), *([] if self.most_nano_usd is None else [self.most_nano_usd])]
        return min(amounts, default=None)


def planned(task_name: str, as_json: bool) -> None:
    """Print the plan of `promptory optimize`."""
    environment = Environment.read()
    entry = open_catalog(environment).get(task_name)
    task = entry.task
    if task.optimizer is None:
        raise InputError(
            f"task {task_name!r} names no optimizer",
            file=str(entry.path),
            field="optimizer",
            mend="add `optimizer: {kind: …}`.",
        )
    ingested, counts = check_dataset(task, entry.path, UPath(environment.landing_root))
    rows = [row for row in ingested.rows.values() if row.split is not Split.TEST]
    plan = _plan(task, task.optimizer, rows, counts, environment.core_settings())
    value = {
        "task": task_name,
        "dry_run": True,
        "optimizer": task.optimizer.model_dump(mode="json"),
        "model": task.prompt.model,
        "split_rows": counts,
        **_values(plan),
    }
    emit(as_json, value, lambda console: _show(console, task, task.optimizer, counts, plan))


def _plan(
    task: Task, optimizer: OptimizerSpec, rows: Sequence[Row], counts: dict[str, int], settings: CoreSettings
) -> Plan:
    calls = planned_calls(optimizer, counts["train"], counts["dev"], len(task.prompt.steps))
    tokens = max(_token_bound(task, step, optimizer, rows) for step in task.prompt.version().steps)
    price = PriceBook(settings.prices).price_of(task.prompt.model)
    each = None if price is None else reserve_nano_usd(price, tokens, task.prompt.parameters.max_output_tokens)
    caps = {scope: usd_to_nano(cap) for scope, cap in settings.budgets.items() if _binds(scope, task.name)}
    caps["run"] = usd_to_nano(task.budget.run_usd)
    if task.budget.total_usd is not None:
        caps.setdefault(f"task:{task.name}", usd_to_nano(task.budget.total_usd))
    return Plan(calls, tokens, None if each is None else each * calls, caps)


def _binds(scope: str, task: str) -> bool:
    return scope in ("org", "day", "month", f"task:{task}")


def _token_bound(task: Task, step: PromptStep, optimizer: OptimizerSpec, rows: Sequence[Row]) -> int:
    """Input tokens of the longest call: the longest row after as many of the longest rows as demonstrations go in.

    Earlier steps' answers stand in for themselves with `max_output_tokens` times four characters.
    """
    names = [other.name for other in task.prompt.steps]
    earlier = names[: names.index(step.name)]
    filler = "x" * (4 * task.prompt.parameters.max_output_tokens)
    longest = sorted(rows, key=lambda row: -sum(len(text) for text in row.inputs.values()))
    if not longest:
        return 0
    last = step.name == names[-1]
    demonstrations = tuple(
        Demonstration(
            inputs={**row.inputs, **dict.fromkeys(earlier, filler)},
            output=format_output(step.output, row.output) if last else filler,
        )
        for row in longest[: _demonstrations(optimizer)]
    )
    full = step.model_copy(update={"demonstrations": (*step.demonstrations, *demonstrations)})
    messages = StepRenderer(full).render({**longest[0].inputs, **dict.fromkeys(earlier, filler)})
    return byte_token_bound(build_request(task.prompt.version(), messages))


def _demonstrations(optimizer: OptimizerSpec) -> int:
    return max(stage.demonstrations for stage in planned_stages(optimizer, 512, 1))


def _values(plan: Plan) -> dict[str, Any]:
    most, bound = plan.most_nano_usd, plan.bound_nano_usd
    return {
        "planned_calls": plan.calls,
        "input_tokens_per_call_at_most": plan.tokens_per_call,
        "most_usd": None if most is None else nano_to_usd(most),
        "caps_usd": {scope: nano_to_usd(cap) for scope, cap in plan.caps_nano_usd.items()},
        "bound_usd": None if bound is None else nano_to_usd(bound),
    }


def _show(console: Console, task: Task, optimizer: OptimizerSpec | None, counts: dict[str, int], plan: Plan) -> None:
    price = "no known price" if plan.most_nano_usd is None else dollars(plan.most_nano_usd)
    told: dict[str, object] = {
        "optimizer": f"{optimizer.kind} on {counts['train']:,} train and {counts['dev']:,} dev rows"
        if optimizer
        else "",
        "model": task.prompt.model,
        "planned calls": f"{plan.calls:,} at most",
        "tokens per call": f"{plan.tokens_per_call:,} in, {task.prompt.parameters.max_output_tokens:,} out at most",
        "if every call were the longest": price,
    }
    told |= {f"cap of {scope}": dollars(cap) for scope, cap in plan.caps_nano_usd.items()}
    if plan.bound_nano_usd is not None:
        told["so the run spends at most"] = dollars(plan.bound_nano_usd)
    console.print(facts(told))
    if isinstance(optimizer, MiproV2Spec):
        console.print("Instructions that mipro_v2 writes, and the calls that write them, may be longer than this.")
    console.print("Nothing was asked and nothing was paid.")
