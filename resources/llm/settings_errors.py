"""What is wrong with some settings, as one error: the field, the problem, the mend; never what was given."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError

from domain.errors import ConfigurationError

T = TypeVar("T")

_OURS = "setting"
_PROBLEMS = {
    "extra_forbidden": "there is no such setting",
    "dict_type": "this must be a mapping",
    "model_type": "this must be a mapping",
}


def wrong_setting(place: str, problem: str, mend: str) -> PydanticCustomError:
    """What a validator of settings raises. `place` is the key at fault, where the setting is a mapping, else empty."""
    return PydanticCustomError(_OURS, "{problem}: {mend}", {"place": place, "problem": problem, "mend": mend})


def checked(place: str, check: Callable[[T], object], value: T) -> None:
    """Run a check that raises `ValueError("problem; mend")`.

    Raises:
        PydanticCustomError: it did.
    """
    try:
        check(value)
    except ValueError as error:
        problem, _, mend = str(error).partition("; ")
        raise wrong_setting(place, problem, f"{mend}.") from None


def as_configuration_error(error: ValidationError, root: type[BaseModel]) -> ConfigurationError:
    """The first thing wrong with settings of the class `root`: its field and the mend, without what was given."""
    details = error.errors(include_url=False, include_input=False)
    first = details[0]
    path = [str(part) for part in first["loc"] if part != "[key]"]
    context = first.get("ctx", {})
    if first["type"] == _OURS:
        path += [context["place"]] if context["place"] else []
        problem, mend = context["problem"], context["mend"]
    else:
        problem = _PROBLEMS.get(first["type"]) or first["msg"].removeprefix("Value error, ")
        mend = _mend(root, path, unknown=first["type"] == "extra_forbidden")
    more = f" ({len(details) - 1} more)" if len(details) > 1 else ""
    return ConfigurationError(f"{problem}{more}", field=".".join(path) or None, mend=mend)


def _mend(root: type[BaseModel], path: list[str], *, unknown: bool) -> str:
    around = _fields_at(root, path[:-1])
    if unknown:
        return f"known here: {', '.join(sorted(around))}." if around else "remove it."
    field = around.get(path[-1]) if path else None
    return f"correct it. This setting: {field.description}" if field and field.description else "correct this setting."


def _fields_at(root: type[BaseModel], path: list[str]) -> dict[str, FieldInfo]:
    """The settings of the section that `path` leads to; none where it leads to no section."""
    here: Any = root
    for part in path:
        fields = _fields_of(here)
        if part in fields:
            here = _without_none(fields[part].annotation)
        elif get_origin(here) is dict:
            here = _without_none(get_args(here)[1])
        else:
            return {}
    return _fields_of(here)


def _fields_of(annotation: Any) -> dict[str, FieldInfo]:
    is_section = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation.model_fields if is_section else {}


def _without_none(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        return next(part for part in get_args(annotation) if part is not NoneType)
    return annotation
