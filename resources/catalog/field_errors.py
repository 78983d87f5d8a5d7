"""From pydantic's complaints about a YAML file to the one error a person should see."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from domain.errors import InputError
from resources.catalog.yaml_lines import Location, line_of

TAGS = ("text", "choice", "number", "json")


def first_error(
    error: ValidationError,
    value: dict[str, Any],
    lines: dict[Location, int],
    path: Path,
    model: type[BaseModel],
    help_sentence: str,
) -> InputError:
    """The innermost complaint that stands first in the file, with file, line, field and mend.

    Args:
        value, lines: as `load_yaml` gave them.
        model: what the file was checked against; a misspelt field is compared with all of its fields.
        help_sentence: where the reader finds all fields.
    """
    located = [(_location(detail, value), detail) for detail in error.errors(include_url=False)]
    # A bad item also makes its list "too short": only the innermost complaint is of use.
    inner = [one for one in located if not any(_is_inside(other, one[0]) for other, _ in located)]
    # A misspelt field is missing as well: its misspelling says more.
    misspelt = {location[:-1] for location, detail in inner if detail["type"] == "extra_forbidden"}
    inner = [one for one in inner if one[1]["type"] != "missing" or one[0][:-1] not in misspelt]
    location, first = min(inner, key=lambda one: line_of(lines, one[0]) or 0)
    more = f" ({len(inner) - 1} more after this one)" if len(inner) > 1 else ""
    return InputError(
        _problem(first) + more,
        file=str(path),
        row=line_of(lines, location) or 1,
        field=".".join(str(part) for part in location) or None,
        mend=_mend(first, model, help_sentence),
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


def _mend(detail: ErrorDetails, model: type[BaseModel], help_sentence: str) -> str:
    kind = detail["type"]
    name = str(detail["loc"][-1]) if detail["loc"] else ""
    if kind == "missing":
        return f"add `{name}: …`."
    if kind == "extra_forbidden":
        close = get_close_matches(name, _field_names(model), n=1)
        return f"did you mean `{close[0]}`?" if close else "remove it."
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        expected = (detail.get("ctx") or {}).get("expected_tags", ", ".join(TAGS))
        return f"set `kind` to one of {expected}."
    if kind == "string_pattern_mismatch" and name == "model":
        return "write it as provider/name, e.g. openai/gpt-4o-mini."
    if kind == "string_pattern_mismatch":
        return "use lower-case letters, digits and underscores, starting with a letter."
    return f"correct the value; {help_sentence}"


def _field_names(model: type[BaseModel]) -> list[str]:
    schema = model.model_json_schema()
    models = [schema, *schema["$defs"].values()]
    return sorted({name for one in models for name in one.get("properties", {})})
