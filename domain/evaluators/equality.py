"""When two parsed values are the same answer."""

from __future__ import annotations

from math import ulp
from typing import Any, TypeGuard, cast


def same_text(expected: str, actual: str, *, ignore_case: bool) -> bool:
    """Equal, runs of white space (and, on request, case) apart."""
    return collapse(expected, ignore_case=ignore_case) == collapse(actual, ignore_case=ignore_case)


def collapse(text: str, *, ignore_case: bool) -> str:
    """`text` with single spaces, none at the ends, case folded on request."""
    single_spaced = " ".join(text.split())
    return single_spaced.casefold() if ignore_case else single_spaced


def same_value(expected: Any, actual: Any, *, ignore_case: bool, tolerance: float = 0.0) -> bool:
    """Equal in the sense of JSON: texts as `same_text`, numbers within `tolerance`, true never equal to 1."""
    if isinstance(expected, str) and isinstance(actual, str):
        return same_text(expected, actual, ignore_case=ignore_case)
    if _is_number(expected) and _is_number(actual):
        return within(expected, actual, tolerance)
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _same_object(
            cast(dict[str, Any], expected), cast(dict[str, Any], actual), ignore_case=ignore_case, tolerance=tolerance
        )
    if isinstance(expected, list) and isinstance(actual, list):
        left, right = cast(list[Any], expected), cast(list[Any], actual)
        return len(left) == len(right) and all(
            same_value(one, other, ignore_case=ignore_case, tolerance=tolerance)
            for one, other in zip(left, right, strict=True)
        )
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    return expected is None and actual is None


def within(expected: float, actual: float, tolerance: float) -> bool:
    """|actual − expected| ≤ `tolerance`, as people count: 3.1 is within 0.1 of 3, though its binary form is not."""
    if expected == actual:
        return True
    if not tolerance:
        return False
    try:
        left, right = float(expected), float(actual)
    except OverflowError:
        return False
    return abs(left - right) <= tolerance + 4 * ulp(max(abs(left), abs(right)))


def _same_object(expected: dict[str, Any], actual: dict[str, Any], *, ignore_case: bool, tolerance: float) -> bool:
    return expected.keys() == actual.keys() and all(
        same_value(expected[key], actual[key], ignore_case=ignore_case, tolerance=tolerance) for key in expected
    )


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
