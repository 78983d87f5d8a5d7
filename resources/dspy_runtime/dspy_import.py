"""The one place where dspy is imported: its cache folder, its output and its log are settled before and right after.

Modules that need dspy take it from here; `run.optimize` imports them when it is called, so that nothing else pays
the seconds this takes.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

# DSPy would put a disk cache into the home folder; ours is the journal and the core's cache.
os.environ.setdefault("DSPY_CACHEDIR", str(Path(tempfile.gettempdir()) / "promptory-dspy"))

import dspy
import dspy.evaluate.evaluate
import dspy.propose.grounded_proposer
import dspy.propose.utils
import dspy.teleprompt.bootstrap
import dspy.teleprompt.gepa.gepa
import dspy.teleprompt.random_search
import dspy.teleprompt.utils
import dspy.utils.inspect_history
import dspy.utils.parallelizer
import gepa.core.engine
import gepa.proposer.merge
import tqdm

__all__ = ["dspy"]


class _SilentBar(tqdm.tqdm):  # pyright: ignore[reportMissingTypeArgument]
    """A progress bar that never draws: these modules take no switch for theirs."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **{**settings, "disable": True})


def _put(module: ModuleType, name: str, value: object) -> None:
    vars(module)[name] = value


def _silence(*modules: ModuleType) -> None:
    for module in modules:
        _put(module, "print", _print_nothing)
        if "tqdm" in vars(module):
            _put(module, "tqdm", SimpleNamespace(tqdm=_SilentBar))


def _print_nothing(*_: object, **__: object) -> None:
    """Stands in for `print`: the run reports its own progress."""


_silence(
    dspy.evaluate.evaluate,
    dspy.propose.grounded_proposer,
    dspy.propose.utils,
    dspy.teleprompt.bootstrap,
    dspy.teleprompt.random_search,
    dspy.teleprompt.utils,
    dspy.utils.inspect_history,
    dspy.utils.parallelizer,
)
_put(gepa.core.engine, "tqdm", _SilentBar)


class _SortedSet(set[Any]):
    """A set that is walked in order."""

    def __iter__(self) -> Iterator[Any]:
        return iter(sorted(super().__iter__()))


# GEPA's merge walks a set of predictor names and draws for each: in an order that differs from process to process.
_put(gepa.proposer.merge, "set", _SortedSet)
# Its messages quote whole rows, which must not reach a log; what fails inside a run is raised by the run.
logging.getLogger("dspy").setLevel(logging.CRITICAL + 1)
dspy.configure_cache(enable_disk_cache=False, enable_memory_cache=False)
