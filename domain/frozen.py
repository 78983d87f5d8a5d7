"""Frozen dataclasses that cost little more to make than open ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")

_OWN_NAMES = frozenset({"self", "_set", "_open", "_frozen", "_missing"})
_MISSING = object()


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def frozen_value(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]:
    """`@dataclass(frozen=True, slots=True)` for values that every call makes anew.

    The `__init__` that dataclasses writes sets each field through `object.__setattr__`, which takes three times as long
    as setting it; for a value of 14 fields that is a microsecond. The one written here sets the fields while the value
    is of a class without the ban, and then makes it what it is.

    Raises:
        TypeError: a field takes no part in `__init__`, or has a name that is needed here.
    """

    def make(cls: type[T]) -> type[T]:
        # kw_only goes into the fields themselves, and nothing else of the dataclass depends on how it is made.
        frozen: Any = dataclasses.dataclass(frozen=True, slots=True, kw_only=kw_only)(cls)
        own = frozen.__init__
        written = _init(frozen)
        written.__qualname__, written.__annotations__ = own.__qualname__, own.__annotations__
        frozen.__init__ = written
        return frozen

    return make


def _init(frozen: Any) -> Any:
    fields = dataclasses.fields(frozen)
    if any(not field.init or field.name in _OWN_NAMES for field in fields):
        raise TypeError(f"{frozen.__name__} cannot be a frozen_value: every field must be set by its own argument")
    open_class = type(frozen.__name__, (), {"__slots__": tuple(field.name for field in fields)})
    known: dict[str, Any] = {
        "_set": object.__setattr__, "_open": open_class, "_frozen": frozen, "_missing": _MISSING,
    }  # fmt: skip
    ordinary = [_argument(field, known) for field in fields if not field.kw_only]
    named = [_argument(field, known) for field in fields if field.kw_only]
    made = [field.name for field in fields if field.default_factory is not dataclasses.MISSING]
    lines = [
        f"def __init__({', '.join(['self', *ordinary, *(['*', *named] if named else [])])}):",
        *(f"    if {name} is _missing: {name} = _make_{name}()" for name in made),
        "    _set(self, '__class__', _open)",
        *(f"    self.{field.name} = {field.name}" for field in fields),
        "    self.__class__ = _frozen",
        *(["    self.__post_init__()"] if hasattr(frozen, "__post_init__") else []),
    ]
    namespace: dict[str, Any] = {}
    exec("\n".join(lines), known, namespace)  # noqa: S102 - names of our own fields, as dataclasses does
    return namespace["__init__"]


def _argument(field: dataclasses.Field[Any], known: dict[str, Any]) -> str:
    """The parameter for `field`; its default goes into the function's globals."""
    if field.default_factory is not dataclasses.MISSING:
        known[f"_make_{field.name}"] = field.default_factory
        return f"{field.name}=_missing"
    if field.default is not dataclasses.MISSING:
        known[f"_default_{field.name}"] = field.default
        return f"{field.name}=_default_{field.name}"
    return field.name
