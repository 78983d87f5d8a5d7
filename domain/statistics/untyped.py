"""SciPy and statsmodels ship no types: here they are `Any`, loaded when first asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def scipy_stats() -> Any:
    """`scipy.stats`."""
    return import_module("scipy.stats")


def scipy_optimize() -> Any:
    """`scipy.optimize`."""
    return import_module("scipy.optimize")


def cohens_kappa(table: Any, **options: Any) -> Any:
    """`statsmodels.stats.inter_rater.cohens_kappa`."""
    return import_module("statsmodels.stats.inter_rater").cohens_kappa(table, **options)


def scipy_special() -> Any:
    """`scipy.special`."""
    return import_module("scipy.special")
