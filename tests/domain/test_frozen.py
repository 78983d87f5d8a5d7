"""Values made by `frozen_value` are the dataclasses they look like."""

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, replace
from typing import Any

import pytest

from domain.frozen import frozen_value


@frozen_value()
class Quick:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.first < 0:
            raise ValueError("first is 0 or more")


@dataclass(frozen=True, slots=True)
class Plain:
    first: int
    second: str = "two"
    third: list[int] = field(default_factory=list)


@frozen_value(kw_only=True)
class Named:
    one: int
    two: int = 2


@pytest.mark.parametrize("values", [{"first": 1}, {"first": 1, "second": "x"}, {"first": 1, "third": [3]}])
def test_it_holds_what_a_dataclass_would_hold(values: dict[str, Any]) -> None:
    quick = Quick(**values)
    assert type(quick) is Quick
    assert asdict(quick) == asdict(Plain(**values))
    assert repr(quick) == repr(Plain(**values)).replace("Plain", "Quick")
    assert quick == Quick(**values) == copy.deepcopy(quick) == pickle.loads(pickle.dumps(quick))
    assert replace(quick, first=7) == Quick(7, quick.second, quick.third)


def test_it_takes_arguments_by_place_and_by_name() -> None:
    assert Quick(1, "b", []) == Quick(third=[], second="b", first=1)
    assert [each.name for each in fields(Quick)] == ["first", "second", "third"]
    assert list(inspect.signature(Quick).parameters) == ["first", "second", "third"]
    assert (Named(one=1).one, Named(one=1).two) == (1, 2)
    with pytest.raises(TypeError, match="positional"):
        Named(1)  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match="first"):
        Quick()  # pyright: ignore[reportCallIssue]


def test_it_is_frozen_from_its_first_moment() -> None:
    quick = Quick(1)
    with pytest.raises(FrozenInstanceError):
        quick.first = 2  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises((FrozenInstanceError, AttributeError, TypeError)):
        quick.fourth = 2  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ValueError, match="0 or more"):
        Quick(-1)


def test_every_value_gets_a_default_of_its_own() -> None:
    assert Quick(1).third is not Quick(1).third


def test_a_field_that_is_no_argument_is_refused() -> None:
    with pytest.raises(TypeError, match="its own argument"):

        @frozen_value()
        class _Computed:
            one: int
            two: int = field(default=3, init=False)
