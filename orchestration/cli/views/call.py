"""One answer from a prompt version."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from domain.dataset import Row, make_row, normalise_text
from domain.errors import InputError, OutputParseError
from domain.parsing import parse_output
from domain.prompt import PromptVersion
from domain.task import Task
from orchestration.cli.figures import dollars, named, usd
from orchestration.cli.opening import current_database, with_task_cap
from orchestration.cli.screen import emit, facts
from orchestration.environments import Environment
from resources.database.repositories import prompt_versions, tasks
from resources.evaluation.answers import Answer
from resources.evaluation.prompt_runner import PromptRunner
from resources.llm import open_client
from resources.llm.settings import CoreSettings
from resources.llm.types import CallContext, Completion


def answer(task_name: str, inputs: Sequence[str], reference: str, as_json: bool) -> None:
    """Ask and print."""
    environment = Environment.read()
    with current_database(environment) as database, database.session(read_only=True) as session:
        task = tasks.get_task(session, task_name).task
        record = prompt_versions.get(session, task_name, reference)
    row = _row(task, inputs)
    settings = with_task_cap(environment.core_settings(), task)
    given, completions = asyncio.run(_ask(settings, task, record.prompt, row))
    meets_contract, parsed = _parsed(record.prompt, given.text)
    value = {
        "task": task_name,
        "answer": given.text,
        "value": parsed,
        "meets_contract": meets_contract,
        "call_id": given.call_id,
        "prompt_version": record.version,
        "prompt_version_id": record.id,
        "model": given.model,
        **_effort(completions),
    }

    def show(console: Console) -> None:
        console.print(given.text, markup=False, soft_wrap=True)
        seen = {"call": given.call_id, "prompt version": named(record), "model": given.model}
        seen |= {"cost": dollars(value["cost_nano_usd"]), "cached": "yes" if value["cached"] else "no"}
        seen |= {"tokens": f"{value['input_tokens']} in, {value['output_tokens']} out"}
        seen |= {"latency": f"{1000 * value['latency_s']:.0f} ms"}
        if record.prompt.steps[-1].output.reasoning:
            seen["value"] = parsed
        if not meets_contract:
            seen["warning"] = "the answer does not meet the output contract"
        console.print(facts(seen), style="dim")

    emit(as_json, value, show)


def _row(task: Task, inputs: Sequence[str]) -> Row:
    given: dict[str, str] = {}
    for pair in inputs:
        name, equals, text = pair.partition("=")
        if not equals or name not in task.dataset.inputs or name in given:
            problem = "is given twice" if name in given else "is not FIELD=TEXT with a field of the prompt"
            raise InputError(f"--input {pair[:60]!r} {problem}", field="input", mend=_mend(task))
        given[name] = normalise_text(text)
    missing = [name for name in task.dataset.inputs if name not in given]
    if missing:
        raise InputError(f"there is no --input for {', '.join(missing)}", field="input", mend=_mend(task))
    # Fields in the task's order: what is sent must not depend on how the command was typed.
    ordered = {name: given[name] for name in task.dataset.inputs}
    return make_row(ordered, None, None, task.dataset.split)


def _mend(task: Task) -> str:
    return f"write {' '.join(f'--input {name}=…' for name in task.dataset.inputs)}."


async def _ask(settings: CoreSettings, task: Task, prompt: PromptVersion, row: Row) -> tuple[Answer, list[Completion]]:
    context = CallContext(purpose="call", task=task.name, scopes=("org", "day", "month", f"task:{task.name}"))
    async with open_client(settings) as client:
        return await PromptRunner(client, prompt, context).run(row)


def _effort(completions: Sequence[Completion]) -> dict[str, Any]:
    cost = sum(one.cost_nano_usd for one in completions)
    return {
        "cached": all(one.cached for one in completions),
        "cost_nano_usd": cost,
        "cost_usd": usd(cost),
        "input_tokens": sum(one.usage.input_tokens for one in completions),
        "output_tokens": sum(one.usage.output_tokens for one in completions),
        "latency_s": sum(one.latency_s for one in completions),
        "calls": [one.call_id for one in completions],
    }


def _parsed(prompt: PromptVersion, text: str) -> tuple[bool, Any]:
    """Whether the answer meets the contract, and the value it stands for, without reasoning or fences."""
    try:
        return True, parse_output(prompt.steps[-1].output, text)
    except OutputParseError:
        return False, None
