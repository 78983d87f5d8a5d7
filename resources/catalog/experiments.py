"""The catalog's experiment files: read, validated, with errors that name file, line, field and mend."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

from domain.errors import InputError, NotFoundError, PromptoryError
from domain.experiment.layers import overlapping, refuse_overlap
from domain.experiment.spec import Experiment
from resources.catalog.catalog import Catalog
from resources.catalog.field_errors import first_error
from resources.catalog.yaml_lines import line_of, load_yaml

EXPERIMENT_FOLDER = "experiments"
HELP = "docs/experiments.md shows every field."


@dataclass(frozen=True, slots=True)
class ExperimentEntry:
    """An experiment and the file it stands in."""

    experiment: Experiment
    path: Path


@dataclass(frozen=True, slots=True)
class ExperimentReading:
    """All usable experiment files, and one error for each that is not."""

    entries: tuple[ExperimentEntry, ...]
    errors: tuple[PromptoryError, ...]


def load_experiment(path: Path, tasks: Collection[str] | None = None) -> Experiment:
    """The experiment in `path`; its task must be one of `tasks`, where these are given.

    Raises:
        InputError: naming file, line, field and mend.
    """
    value, lines = load_yaml(path)
    try:
        experiment = Experiment.model_validate(value)
    except ValidationError as error:
        raise first_error(error, value, lines, path, Experiment, HELP) from error
    if tasks is not None and experiment.task not in tasks:
        close = get_close_matches(experiment.task, tasks, n=1)
        raise InputError(
            f"no task is called {experiment.task!r}",
            file=str(path),
            row=line_of(lines, ("task",)),
            field="task",
            mend=f"did you mean `{close[0]}`?" if close else f"tasks there are: {', '.join(sorted(tasks)) or 'none'}.",
        )
    return experiment


class ExperimentCatalog:
    """Reads `<folder>/experiments/*.yaml`. Nothing is cached: a changed file is seen at the next reading."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / EXPERIMENT_FOLDER
        self._catalog = Catalog(folder)

    def files(self) -> list[Path]:
        """Every experiment file, by name."""
        return sorted(path for pattern in ("*.yaml", "*.yml") for path in self.folder.glob(pattern))

    def read(self) -> ExperimentReading:
        """All experiments; a bad file becomes an error and hides no other."""
        tasks = self._tasks()
        entries: dict[str, ExperimentEntry] = {}
        errors: list[PromptoryError] = []
        for path in self.files():
            try:
                experiment = load_experiment(path, tasks)
                if experiment.name in entries:
                    raise _name_taken(experiment.name, path, entries[experiment.name].path)
            except PromptoryError as error:
                errors.append(error)
                continue
            entries[experiment.name] = ExperimentEntry(experiment, path)
        return ExperimentReading(tuple(entries.values()), tuple(errors))

    def get(self, name: str) -> ExperimentEntry:
        """The experiment called `name`.

        Raises:
            InputError: its file is not usable.
            NotFoundError: no file declares it; the message lists those that exist.
        """
        likely = self.folder / f"{name}.yaml"
        if likely.exists():
            experiment = load_experiment(likely, self._tasks())
            if experiment.name == name:
                return ExperimentEntry(experiment, likely)
        reading = self.read()
        for entry in reading.entries:
            if entry.experiment.name == name:
                return entry
        if reading.errors:
            broken = "; ".join(str(error.file) for error in reading.errors)
            mend = f"these files could not be read, see `promptory experiment validate`: {broken}."
        else:
            mend = f"experiments there are: {', '.join(one.experiment.name for one in reading.entries) or 'none'}."
        raise NotFoundError(f"no experiment is called {name!r} in {self.folder}", mend=mend)

    def _tasks(self) -> list[str]:
        return [entry.task.name for entry in self._catalog.read().entries]


def overlap_errors(entries: Iterable[ExperimentEntry], over: Collection[str]) -> dict[str, InputError]:
    """By experiment name: the error of each file whose buckets an earlier one has; those that are `over` hold none."""
    errors: dict[str, InputError] = {}
    placed: list[Experiment] = []
    for entry in entries:
        experiment = entry.experiment
        if experiment.name in over:
            continue
        if overlapping(experiment, placed) is not None:
            errors[experiment.name] = _overlap(entry, placed)
            continue
        placed.append(experiment)
    return errors


def _overlap(entry: ExperimentEntry, placed: list[Experiment]) -> InputError:
    try:
        refuse_overlap(entry.experiment, placed)
    except InputError as error:
        lines = load_yaml(entry.path)[1]
        row = line_of(lines, ("layer",)) or 1
        return InputError(error.problem, file=str(entry.path), row=row, field=error.field, mend=error.mend)
    raise AssertionError("asked about an experiment that overlaps none")


def _name_taken(name: str, path: Path, other: Path) -> InputError:
    return InputError(
        f"the experiment name {name!r} is taken by {other.name}",
        file=str(path),
        field="name",
        mend="choose another name.",
    )
