"""What a process that deals units keeps at hand: experiments and tasks for a second, prompt versions for good."""

from __future__ import annotations

from collections.abc import Callable

from domain.prompt import PromptVersion
from domain.task import Task
from resources.database.repositories import aliases, experiments, prompt_versions, tasks
from resources.database.session import Database
from resources.evaluation.promote import PRODUCTION
from resources.experiments.started import Started

FRESH_S = 1.0
"""For so long a process may go on dealing units of an experiment that another one stopped or reweighed."""


class Known:
    """Reads from the database, no more often than needed. Safe to use from many threads."""

    def __init__(self, database: Database, monotonic: Callable[[], float]) -> None:
        self._database = database
        self._monotonic = monotonic
        self._started: dict[str, tuple[float, Started]] = {}
        self._tasks: dict[str, tuple[float, Task]] = {}
        self._running: dict[str, tuple[float, tuple[Started, ...]]] = {}
        self._prompts: dict[tuple[str, str], PromptVersion] = {}

    def started(self, name: str) -> Started:
        """The started experiment, at most a second old.

        Raises:
            NotFoundError: none was started under that name.
        """
        now = self._monotonic()
        known = self._started.get(name)
        if known is not None and now - known[0] < FRESH_S:
            return known[1]
        with self._database.session(read_only=True) as session:
            found = Started.of(experiments.get(session, name))
        self._started[name] = (now, found)
        return found

    def running(self, task: str) -> tuple[Started, ...]:
        """The experiments of a task that run, by name, at most a second old."""
        now = self._monotonic()
        known = self._running.get(task)
        if known is not None and now - known[0] < FRESH_S:
            return known[1]
        with self._database.session(read_only=True) as session:
            records = experiments.list_experiments(session, state="running", task=task)
        found = tuple(Started.of(record) for record in records)
        self._running[task] = (now, found)
        return found

    def task(self, name: str) -> Task:
        """The task as last read from its file, at most a second old.

        Raises:
            NotFoundError: no task of that name was read.
        """
        now = self._monotonic()
        known = self._tasks.get(name)
        if known is not None and now - known[0] < FRESH_S:
            return known[1]
        with self._database.session(read_only=True) as session:
            found = tasks.get_task(session, name).task
        self._tasks[name] = (now, found)
        return found

    def prompt(self, task: str, version_id: str | None) -> PromptVersion:
        """A prompt version of the task; None for the one in production now.

        Raises:
            NotFoundError: there is none.
        """
        known = self._prompts.get((task, version_id)) if version_id else None
        if known is not None:
            return known
        with self._database.session(read_only=True) as session:
            wanted = version_id or aliases.get(session, task, PRODUCTION).prompt_version_id
            found = prompt_versions.get(session, task, wanted).prompt
        self._prompts[(task, wanted)] = found
        return found
