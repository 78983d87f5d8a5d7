"""One task file: read, validated, with errors that name file, line, field and mend."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from domain.errors import InputError, PromptoryError
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.registry import check_evaluators, check_judge_model, check_metric
from domain.optimization import MiproV2Spec, check_optimizer
from domain.rendering import check_templates
from domain.task import Task
from resources.catalog.yaml_lines import Location, line_of, load_yaml
from resources.llm.endpoint_names import Kinds, all_kinds, known_names

NO_ENDPOINTS: Kinds = MappingProxyType({})
TAGS = ("text", "choice", "number", "json")


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
        raise _first_error(error, value, lines, path) from error
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
        check_metric(task.evaluators)
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


def _first_error(
    error: ValidationError, value: dict[str, Any], lines: dict[Location, int], path: Path
) -> PromptoryError:
    located = [(_location(detail, value), detail) for detail in error.errors(include_url=False)]
    # A bad item also makes its list "too short": only the innermost complaint is of use.
    inner = [one for one in located if not any(_is_inside(other, one[0]) for other, _ in located)]
    location, first = min(inner, key=lambda one: line_of(lines, one[0]) or 0)
    more = f" ({len(inner) - 1} more after this one)" if len(inner) > 1 else ""
    return InputError(
        _problem(first) + more,
        file=str(path),
        row=line_of(lines, location) or 1,
        field=".".join(str(part) for part in location) or None,
        mend=_mend(first),
    )


def _is_inside(location: Location, outer: Location) -> bool:
    return len(location) > len(outer) and location[: len(outer)] == outer


def _problem(detail: ErrorDetails) -> str:
    if detail["type"] == "union_tag_invalid":
        return f"unknown kind {(detail.get('ctx') or {}).get('tag')!r}"
    return detail["msg"].removeprefix("Value error, ")


def _location(detail: ErrorDetails, value: dict[str, Any]) -> Location:
    """Pydantic's location without the union tags and the `steps.0` that the file does not spell out."""
    location: list[str | int] = []
    node: Any = value
    for part in detail["loc"]:
        if _holds(node, part):
            node = node[part]
        elif part is not detail["loc"][-1] or detail["type"] not in ("missing", "extra_forbidden"):
            continue
        location.append(part)
    return tuple(location)


def _holds(node: Any, part: str | int) -> bool:
    if isinstance(node, dict):
        return part in node
    return isinstance(node, list) and isinstance(part, int) and part < len(node)


def _mend(detail: ErrorDetails) -> str:
    kind = detail["type"]
    name = str(detail["loc"][-1])
    if kind == "missing":
        return f"add `{name}: …`."
    if kind == "extra_forbidden":
        close = get_close_matches(name, _field_names(), n=1)
        return f"did you mean `{close[0]}`?" if close else "remove it."
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        expected = (detail.get("ctx") or {}).get("expected_tags", ", ".join(TAGS))
        return f"set `kind` to one of {expected}."
    if kind == "string_pattern_mismatch" and name == "model":
        return "write it as provider/name, e.g. openai/gpt-4o-mini."
    if kind == "string_pattern_mismatch":
        return "use lower-case letters, digits and underscores, starting with a letter."
    return "correct the value; `promptory task init --help` shows every field."


def _field_names() -> list[str]:
    schema = Task.model_json_schema()
    models = [schema, *schema["$defs"].values()]
    return sorted({name for model in models for name in model.get("properties", {})})
