"""One task file: read, validated, with errors that name file, line, field and mend."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from domain.errors import InputError
from domain.evaluators.registry import check_evaluators
from domain.optimization import check_optimizer
from domain.rendering import check_templates
from domain.task import Task
from resources.catalog.field_errors import first_error
from resources.catalog.yaml_lines import Location, line_of, load_yaml
from resources.llm.providers import KNOWN_PROVIDERS

HELP = "`promptory task init --help` shows every field."


def load_task(path: Path) -> Task:
    """The task in `path`, checked as far as it can be without its dataset.

    Raises:
        InputError: (also its subclass TemplateError) naming file, line, field and mend.
    """
    value, lines = load_yaml(path)
    try:
        task = Task.model_validate(value)
    except ValidationError as error:
        raise first_error(error, value, lines, path, Task, HELP) from error
    try:
        _check_parts(task)
    except InputError as error:
        location: Location = tuple(error.field.split(".")) if error.field else ()
        row = line_of(lines, location) or line_of(lines, ("prompt", *location))
        raise type(error)(error.problem, file=str(path), row=row, field=error.field, mend=error.mend) from error
    return task


def _check_parts(task: Task) -> None:
    prompt = task.prompt.version()
    provider = prompt.model.partition("/")[0]
    if provider not in KNOWN_PROVIDERS:
        raise InputError(
            f"unknown model provider {provider!r}",
            field="prompt.model",
            mend=f"write one of {', '.join(f'{name}/…' for name in sorted(KNOWN_PROVIDERS))}.",
        )
    check_templates(prompt, task.dataset.inputs)
    check_evaluators(task.evaluators, prompt.steps[-1].output)
    if task.optimizer is not None:
        check_optimizer(task.optimizer, prompt.model)
