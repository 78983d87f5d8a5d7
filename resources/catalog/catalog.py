"""The catalog: a folder of task files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from domain.errors import InputError, NotFoundError, PromptoryError
from domain.task import Task
from resources.catalog.known_files import load_known
from resources.catalog.task_file import NO_ENDPOINTS
from resources.llm.endpoint_names import Kinds

TASK_FOLDER = "tasks"


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A task and the file it stands in."""

    task: Task
    path: Path


@dataclass(frozen=True, slots=True)
class CatalogReading:
    """All usable task files, and one error for each that is not."""

    entries: tuple[CatalogEntry, ...]
    errors: tuple[PromptoryError, ...]


class Catalog:
    """Reads `<folder>/tasks/*.yaml`. A changed file is seen at the next reading, an unchanged one is not parsed again.

    Args:
        endpoints: the configured endpoints' kinds of provider, by name: what a task's model may begin with.
    """

    def __init__(self, folder: Path, endpoints: Kinds = NO_ENDPOINTS) -> None:
        self.folder = folder
        self._endpoints = endpoints

    def task_files(self) -> list[Path]:
        """Every task file, by name."""
        folder = self.folder / TASK_FOLDER
        return sorted(path for pattern in ("*.yaml", "*.yml") for path in folder.glob(pattern))

    def read(self) -> CatalogReading:
        """All tasks; a bad file becomes an error and hides no other."""
        entries: dict[str, CatalogEntry] = {}
        errors: list[PromptoryError] = []
        for path in self.task_files():
            try:
                task = load_known(path, self._endpoints)
                if task.name in entries:
                    raise _name_taken(task.name, path, entries[task.name].path)
            except PromptoryError as error:
                errors.append(error)
                continue
            entries[task.name] = CatalogEntry(task, path)
        return CatalogReading(tuple(entries.values()), tuple(errors))

    def get(self, name: str) -> CatalogEntry:
        """The task called `name`.

        Raises:
            InputError: its file is not usable.
            NotFoundError: no file declares it; the message lists those that exist.
        """
        likely = self.folder / TASK_FOLDER / f"{name}.yaml"
        if likely.exists():
            task = load_known(likely, self._endpoints)
            if task.name == name:
                return CatalogEntry(task, likely)
        reading = self.read()
        for entry in reading.entries:
            if entry.task.name == name:
                return entry
        if reading.errors:
            broken = "; ".join(str(error.file) for error in reading.errors)
            mend = f"these files could not be read, see `promptory task validate`: {broken}."
        else:
            mend = f"tasks there are: {', '.join(sorted(entry.task.name for entry in reading.entries)) or 'none'}."
        raise NotFoundError(f"no task is called {name!r} in {self.folder / TASK_FOLDER}", mend=mend)


def _name_taken(name: str, path: Path, other: Path) -> InputError:
    return InputError(
        f"the task name {name!r} is taken by {other.name}", file=str(path), field="name", mend="choose another name."
    )
