"""The one exception that ends an optimization run from inside, whoever calls it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class OptimizationHalted(BaseException):
    """A call got no answer, or our own code failed: no further call may be made.

    Not an `Exception`: optimizers swallow those, score the row 0, go on calling and hand back a "result".

    Attributes:
        reason: `run_budget` (the run's own cap is reached, as recorded earlier) or `failed`.
        cause: what was raised; None when a recorded stop is replayed.
    """

    def __init__(self, reason: str, cause: BaseException | None = None) -> None:
        self.reason = reason
        self.cause = cause
        super().__init__(reason)


@contextmanager
def halting(halt: Callable[[BaseException], None] | None = None) -> Iterator[None]:
    """Turn any error inside the block into a halt, so that none is ever scored as a wrong answer.

    `halt` is told of it at once: until the exception is through an optimizer's threads, the others would pay on.

    Raises:
        OptimizationHalted: with the error as its cause.
    """
    try:
        yield
    except Exception as error:
        if halt is not None:
            halt(error)
        raise OptimizationHalted("failed", error) from error
