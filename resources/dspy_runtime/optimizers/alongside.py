"""Work done while an optimizer waits for one answer after the other. It asks nothing that is not asked anyway.

All calls of a stage go through one door that lets `threads` of them ask at once (`RunCalls.limit`), so that this adds
no load; and what two ask at once is asked once (`Journal`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from functools import partial
from typing import cast

from resources.dspy_runtime.calls import with_what_is_known
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.optimizers.setting import Setting
from resources.dspy_runtime.program import StepPrediction


@contextmanager
def alongside(jobs: Sequence[Callable[[], object]], setting: Setting, threads: int) -> Iterator[None]:
    """Do `jobs` on `threads` threads while the block runs; when it ends, none of them is at work any more.

    Where the run ends within the block, jobs still get every answer the run has: what they leave behind follows from
    the journal, and not from how far threads had come.

    Raises:
        BaseException: what the block raised, else what the first failed job did.
    """
    with ThreadPoolExecutor(threads, thread_name_prefix="alongside") as pool:
        try:
            # DSPy keeps its settings in context variables, which a new thread would not have.
            begun = [pool.submit(copy_context().run, with_what_is_known, job) for job in jobs]
            yield
        except BaseException as error:
            setting.halt(error)
            raise
    for one in begun:
        one.result()


def scored_alongside(program: dspy.Module, setting: Setting, threads: int) -> AbstractContextManager[None]:
    """Score `program` on all dev rows, for the board, while the block runs.

    The block must not score another program on dev: of equal ones the first to have all its scores wins, and which that
    is may not hang on threads.
    """
    return alongside([partial(_score, program, setting, example) for example in setting.dev], setting, threads)


def _score(program: dspy.Module, setting: Setting, example: dspy.Example) -> None:
    setting.metric(example, cast(StepPrediction, program(**example.inputs())))
