"""Optimizers by the kind a task file names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from domain.optimization import StageSpec
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.optimizers.bootstrap_few_shot import compile_bootstrap_few_shot
from resources.dspy_runtime.optimizers.copro import compile_copro
from resources.dspy_runtime.optimizers.gepa import compile_gepa
from resources.dspy_runtime.optimizers.labeled_few_shot import compile_labeled_few_shot
from resources.dspy_runtime.optimizers.mipro_v2 import compile_mipro_v2
from resources.dspy_runtime.optimizers.random_search import compile_random_search
from resources.dspy_runtime.optimizers.setting import Setting
from resources.dspy_runtime.optimizers.simba import compile_simba

OPTIMIZERS: dict[str, Callable[[Any, Setting], dspy.Module]] = {
    "labeled_few_shot": compile_labeled_few_shot,
    "bootstrap_few_shot": compile_bootstrap_few_shot,
    "bootstrap_random_search": compile_random_search,
    "copro": compile_copro,
    "mipro_v2": compile_mipro_v2,
    "simba": compile_simba,
    "gepa": compile_gepa,
}


def compile_program(spec: StageSpec, setting: Setting) -> dspy.Module:
    """The program the optimizer chose."""
    return OPTIMIZERS[spec.kind](spec, setting)
