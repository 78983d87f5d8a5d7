"""Dagster config classes made from the core's settings, so that the two can never say different things."""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import dagster as dg
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
    TypeAdapter,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

SECRET_MARK = {"dagster__is_secret": True}


class StrictConfig(dg.Config):
    """Refuses fields it does not know, and never quotes what was given."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


def derived_base(name: str, settings: type[BaseModel], base: type) -> Any:
    """A subclass of `base` (a Dagster config or resource class) with one field per setting.

    Names, descriptions, bounds and defaults are the settings' own; nested settings become nested config classes,
    secrets and exact decimals become text, the first out of any `repr`. Typed `Any` because the class is made here.
    """
    fields: dict[str, Any] = {field_name: _derived_field(field) for field_name, field in settings.model_fields.items()}
    return create_model(name, __base__=base, __module__=__name__, __doc__=settings.__doc__, **fields)


def holds_secret(field: FieldInfo) -> bool:
    """Whether a field of the settings holds a key or other secrets."""
    return _mentions(field.annotation, SecretStr)


@lru_cache
def derived_config(settings: type[BaseModel]) -> type[dg.Config]:
    """The nested config class of `settings`."""
    return derived_base(settings.__name__.removesuffix("Settings") + "Config", settings, StrictConfig)


def _derived_field(field: FieldInfo) -> tuple[Any, Any]:
    annotation: Any = _derived_type(field.annotation)
    secret = holds_secret(field)
    options: dict[str, Any] = {
        "description": field.description,
        "repr": field.repr and not secret,
        "json_schema_extra": SECRET_MARK if secret else None,
        **_default(field, annotation),
    }
    if _mentions(field.annotation, Decimal):
        # Bounds of exact numbers cannot stand on text: the settings' own field checks it.
        validators = BeforeValidator(_numbers_as_text), AfterValidator(_checked_by(field))
        return Annotated[annotation, *validators], Field(**options)
    for bound in field.metadata:
        annotation = Annotated[annotation, bound]
    return annotation, Field(**options)


def _default(field: FieldInfo, annotation: Any) -> dict[str, Any]:
    if field.is_required():
        return {}
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return {"default_factory": annotation}
    return {} if value is PydanticUndefined else {"default": value}


def _checked_by(field: FieldInfo) -> Callable[[Any], Any]:
    exact: Any = field.annotation
    for bound in field.metadata:
        exact = Annotated[exact, bound]
    adapter = TypeAdapter(exact)

    def check(value: Any) -> Any:
        if not isinstance(value, dg.EnvVar):
            adapter.validate_python(value)
        return value

    return check


def _numbers_as_text(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _numbers_as_text(part) for name, part in value.items()}
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    return str(value) if number else value


def _derived_type(annotation: Any) -> Any:
    """The annotation as Dagster's config knows it."""
    if annotation in (SecretStr, Decimal):
        return str
    if annotation == JsonValue:
        return Any
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return derived_config(annotation)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        inner = next(part for part in parts if part is not NoneType)
        return _derived_type(inner) | None
    if origin in (dict, list):
        return GenericAlias(origin, tuple(_derived_type(part) for part in parts))
    return annotation


def _mentions(annotation: Any, wanted: type) -> bool:
    return annotation is wanted or any(_mentions(part, wanted) for part in get_args(annotation))
