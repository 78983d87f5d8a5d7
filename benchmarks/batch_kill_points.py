"""Deaths at the durable writes of a batch: the worker's own, beside those of the execution core (`kill_points.py`).

`before` and `after` are around the step that writes; `within` is right before the database's COMMIT, or before a
finished file is given its name.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from benchmarks import kill_points
from benchmarks.kill_points import MOMENTS, Countdown

# What writes in the database, and what writes a file, by the name of the step.
DATABASE_STEPS = ("take_in", "claim", "prepare", "keep", "finish_chunk", "finish_batch")
FILE_STEPS = ("snapshot", "part", "dead_letter", "manifest")
OWN_STEPS = (*DATABASE_STEPS, *FILE_STEPS)
OWN_POINTS = tuple(f"{step}:{moment}" for step in OWN_STEPS for moment in MOMENTS)
# Steps a batch makes a few times only; the others happen with every row.
SELDOM = {"take_in": 1, "claim": 1, "prepare": 1, "snapshot": 1, "dead_letter": 1, "manifest": 1, "finish_batch": 1}
SELDOM |= {"part": 4, "finish_chunk": 4, "keep": 15}


def arm(countdown: Countdown, state_url: str, database_url: str) -> None:
    """Put the countdown around what makes this process's work durable."""
    step = countdown.step
    if step not in OWN_STEPS:
        kill_points.arm(countdown, state_url, database_url)
        return
    from resources.batch_inference import chunks, finishing, intake, keeping, leases, worker

    holders: dict[str, tuple[Any, str]] = {
        "take_in": (intake.Intake, "_record"),
        "claim": (leases.Leases, "take"),
        "prepare": (worker.BatchWorker, "_prepare"),
        "keep": (keeping.AnswerKeeper, "_write"),
        "finish_chunk": (chunks.Chunks, "finish"),
        "finish_batch": (worker, "finish_batch"),
        "snapshot": (intake, "write_atomically"),
        "part": (chunks, "write_part"),
        "dead_letter": (finishing, "write_dead_letter"),
        "manifest": (finishing, "_write_manifest"),
    }
    holder, name = holders[step]
    setattr(holder, name, _around(getattr(holder, name), countdown))
    if step in FILE_STEPS:
        _watch_names(countdown)
    else:
        kill_points.watch_ledger(database_url, countdown)


def _around(write: Callable[..., Any], countdown: Countdown) -> Callable[..., Any]:
    @wraps(write)
    def counted(*arguments: Any, **named: Any) -> Any:
        countdown.before()
        result = write(*arguments, **named)
        countdown.after()
        return result

    return counted


def _watch_names(countdown: Countdown) -> None:
    """A file that is written whole is about to be given its name."""
    replace = Path.replace

    @wraps(replace)
    def naming(path: Path, target: Any) -> Path:
        countdown.within()
        return replace(path, target)

    Path.replace = naming  # pyright: ignore[reportAttributeAccessIssue]
