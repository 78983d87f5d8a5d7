"""One task file: read, validated, with errors that name file, line, field and mend."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

from pydantic import ValidationError

from domain.errors import InputError
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.registry import check_evaluators, check_judge_model
from domain.optimization import MiproV2Spec, check_optimizer
from domain.rendering import check_templates
from domain.task import Task
from resources.catalog.field_errors import first_error
from resources.catalog.yaml_lines import Location, line_of, load_yaml
from resources.llm.endpoint_names import Kinds, all_kinds, known_names

NO_ENDPOINTS: Kinds = MappingProxyType({})
HELP = "`promptory task init --help` shows every field."


def load_task(path: Path, endpoints: Kinds = NO_ENDPOINTS) -> Task:
    """The task in `path`, checked as far as it can be without its dataset.

    Args:
        endpoints: the configured endpoints' kinds of provider, by name; every kind is known by its own name too.

    Raises:
        InputError: (also its subclass TemplateError) naming file, line, field and mend.
    """
    value, lines = load_yaml(path)
    try:
        task = Task.model_validate(value)
    except ValidationError as error:
        raise first_error(error, value, lines, path, Task, HELP) from error
    try:
        _check_parts(task, all_kinds(endpoints))
    except InputError as error:
        location: Location = tuple(error.field.split(".")) if error.field else ()
        row = line_of(lines, location) or line_of(lines, ("prompt", *location))
        raise type(error)(error.problem, file=str(path), row=row, field=error.field, mend=error.mend) from error
    return task


def _check_parts(task: Task, kinds: Kinds) -> None:
    prompt = task.prompt.version()
    model = _by_kind(prompt.model, kinds, "prompt.model")
    check_templates(prompt, task.dataset.inputs)
    check_evaluators(task.evaluators, prompt.steps[-1].output)
    _check_judges(task, kinds)
    if task.optimizer is not None:
        optimizer = task.optimizer
        if isinstance(optimizer, MiproV2Spec) and optimizer.proposal_model is not None:
            writes = _by_kind(optimizer.proposal_model, kinds, "optimizer.proposal_model")
            optimizer = optimizer.model_copy(update={"proposal_model": writes})
        check_optimizer(optimizer, model)


def _by_kind(model: str, kinds: Kinds, field: str) -> str:
    """`model` with the kind of provider in place of the endpoint's name: what it can do follows from that."""
    endpoint, _, name = model.partition("/")
    kind = kinds.get(endpoint)
    if kind is None or not name:
        raise InputError(
            f"unknown endpoint {endpoint!r}",
            field=field,
            mend=f"write one of {known_names(kinds)}, or add endpoints.{endpoint} to promptory.yaml.",
        )
    return f"{kind}/{name}"


def _check_judges(task: Task, kinds: Kinds) -> None:
    for number, spec in enumerate(task.evaluators):
        if isinstance(spec, JudgeSpec):
            check_judge_model(spec.model, kinds, f"evaluators.{number}.model")
    if task.gate.pairwise is not None:
        check_judge_model(task.gate.pairwise.model, kinds, "gate.pairwise.model")
