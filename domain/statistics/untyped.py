"""SciPy ships no types: here it is `Any`, loaded when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def scipy_stats() -> Any:
    """`scipy.stats`."""
    return import_module("scipy.stats")


def scipy_optimize() -> Any:
    """`scipy.optimize`."""
    return import_module("scipy.optimize")


def scipy_special() -> Any:
    """`scipy.special`."""
    return import_module("scipy.special")
