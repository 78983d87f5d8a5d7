"""The Dagster instance that the command line shares with the UI."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance import InstanceRef  # public only through `dagster dev`, whose choice this must equal

from domain.errors import ConfigurationError
from orchestration.environments import Environment, dagster_home

CONFIG_FILE = "dagster.yaml"
SUBFOLDER = "dagster"
LOCK_FILE = ".opening.lock"


def open_instance(environment: Environment) -> dg.DagsterInstance:
    """The persistent instance; close it (it is a context manager).

    DAGSTER_HOME wins. Otherwise its history is below `<home>/dagster`, which for the default home is where the
    checkout's `dagster.yaml` has it, and that file is read as `dg dev` reads it.

    Raises:
        ConfigurationError: DAGSTER_HOME or dagster.yaml cannot be used.
    """
    home = dagster_home()
    try:
        if home is not None:
            _check_home(home)
            return _opened(home, InstanceRef.from_dir(str(home)))
        folder = environment.home.resolve() / SUBFOLDER
        folder.mkdir(parents=True, exist_ok=True)
        return _opened(folder, _default_ref(environment, folder))
    except (dg.DagsterError, dg.DagsterInvariantViolationError) as error:
        folder = home or Path.cwd()
        raise ConfigurationError(
            f"the Dagster instance cannot be opened: {error}",
            file=str(folder / CONFIG_FILE),
            mend="correct the file; `dagster instance info` shows how Dagster reads it.",
        ) from error


def _opened(folder: Path, ref: InstanceRef) -> dg.DagsterInstance:
    """One process after the other: two that both find no files and make them fail in Dagster's migrations."""
    with _alone(folder):
        return dg.DagsterInstance.from_ref(ref)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        lock = (folder / LOCK_FILE).open("w")
    except OSError:  # a mounted configuration: its storage is a server's
        yield
        return
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _default_ref(environment: Environment, folder: Path) -> InstanceRef:
    if _is_default(environment) and Path(CONFIG_FILE).is_file():
        return InstanceRef.from_dir(str(folder), config_dir=str(Path.cwd()))
    quiet: dict[str, Any] = {"telemetry": {"enabled": False}, "nux": {"enabled": False}}
    return InstanceRef.from_dir(str(folder), overrides=quiet)


def _is_default(environment: Environment) -> bool:
    """Whether the home is the one that the checkout's dagster.yaml names."""
    return environment.home.resolve() == Path(Environment.model_fields["home"].default).resolve()


def _check_home(home: Path) -> None:
    if not home.is_absolute() or not home.is_dir():
        raise ConfigurationError(
            f"DAGSTER_HOME is {str(home)!r}, which is not the absolute path of a folder",
            field="DAGSTER_HOME",
            mend="make the folder and write its absolute path, or unset the variable.",
        )
