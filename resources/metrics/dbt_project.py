"""The dbt project on disk, and what has to be prepared before Dagster can show or run it.

Everything derived (manifest, launcher, logs, the DuckDB file) goes to the home folder; the project's own folder may be
read-only.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from domain.errors import ConfigurationError

PROJECT_FOLDER = Path(__file__).parents[2] / "dbt_metrics"

_SOURCE_SUFFIXES = {".sql", ".yml"}
_WRITTEN_BY_DBT = {"target", "logs"}
_CLI = Path(__file__).with_name("dbt_cli.py")
_PARSE_TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class PreparedProject:
    """A parsed dbt project.

    Attributes:
        manifest: dbt's description of the project's models and tests.
        executable: starts dbt under this Python, from any working folder, without a network.
    """

    manifest: Path
    executable: Path

    @property
    def fingerprint(self) -> str:
        """Changes with every change of the project's files."""
        return self.manifest.parent.name


def prepare_manifest(home: Path, project: Path = PROJECT_FOLDER) -> PreparedProject:
    """The parsed project, parsed now (about 6 s) unless the same files were parsed before.

    Its folder is named after the content of the project's files, so a stale manifest cannot be met, and processes that
    prepare at once do not disturb each other.

    Raises:
        ConfigurationError: dbt cannot read the project, or the home folder cannot be written.
    """
    folder = home.absolute() / "dbt" / _fingerprint(project)
    prepared = PreparedProject(folder / "manifest.json", folder / "dbt")
    if not (prepared.manifest.is_file() and prepared.executable.is_file()):
        _prepare(project, folder)
    return prepared


def _fingerprint(project: Path) -> str:
    digest = hashlib.sha256(f"{sys.executable}\n{_CLI}\n{project}\n{version('dbt-core')}\n".encode())
    for path in sorted(project.rglob("*")):
        relative = path.relative_to(project)
        if path.suffix in _SOURCE_SUFFIXES and relative.parts[0] not in _WRITTEN_BY_DBT:
            content = path.read_bytes()
            digest.update(f"{relative.as_posix()}\n{len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:16]


def _prepare(project: Path, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".parse-") as scratch:
            launcher = _write_launcher(Path(scratch) / "dbt")
            _parse(project, launcher, Path(scratch))
            launcher.replace(folder / "dbt")
            (Path(scratch) / "manifest.json").replace(folder / "manifest.json")
    except OSError as error:
        raise ConfigurationError(
            f"The dbt project cannot be prepared ({error.strerror}).",
            file=str(folder),
            mend="Let PROMPTORY_HOME name a folder you may write to.",
        ) from None


def _write_launcher(path: Path) -> Path:
    # -P: dbt runs in the project's folder, whose `tests` and `models` must not be importable.
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -P {shlex.quote(str(_CLI))} "$@"\n')
    path.chmod(0o755)
    return path


def _parse(project: Path, launcher: Path, target: Path) -> None:
    command = [str(launcher), "--no-use-colors", "parse", "--no-partial-parse", "--profiles-dir", str(project)]
    folders = {"DBT_TARGET_PATH": str(target), "DBT_LOG_PATH": str(target), "DBT_PROJECT_DIR": str(project)}
    parsed = subprocess.run(  # noqa: S603 - our own launcher
        command,
        cwd=project,
        env={**os.environ, **folders},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_PARSE_TIMEOUT_S,
        check=False,
    )
    if parsed.returncode:
        raise ConfigurationError(
            f"dbt cannot read the metrics project: {parsed.stdout.strip()[-2000:]}",
            file=str(project),
            mend="Correct the file dbt names.",
        )
