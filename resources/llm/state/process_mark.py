"""Marks of operating-system processes, so that one process can tell that another is gone."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ProcessMark:
    """Where a process runs, its id there, and when it started (clock ticks since boot; 0 = unknown).

    `started` tells a process from a later one that was given the same id.
    """

    machine: str
    pid: int
    started: int


def this_boot() -> str:
    """Names the running kernel: no other machine has it, and a reboot gives another. `unknown` where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def this_process() -> ProcessMark:
    """The mark of the calling process."""
    return process_here(os.getpid())


def process_here(pid: int) -> ProcessMark:
    """The mark of the process that has this id on this machine now; of one that ended if none has."""
    return ProcessMark(_machine(), pid, _started(pid))


def is_gone(mark: ProcessMark, here: ProcessMark) -> bool:
    """True when it is certain that `mark`'s process has ended; never for one on another machine or container.

    Machines are told apart by their names: who compares marks over more than one machine has to compare `this_boot`
    too, because two machines may have one name.
    """
    if os.name != "posix" or mark.machine != here.machine:
        return False
    try:
        os.kill(mark.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return mark.started != _started(mark.pid) or _is_zombie(mark.pid)


def _machine() -> str:
    """Host name and process-id namespace: containers of one host may share a file, but not their process ids."""
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{socket.gethostname()} {namespace}".strip()


def _started(pid: int) -> int:
    fields = _status_fields(pid)
    return int(fields[19]) if fields else 0


def _is_zombie(pid: int) -> bool:
    """A killed process whose parent has not yet collected it still has an id, but does nothing any more."""
    return _status_fields(pid)[:1] == ["Z"]


def _status_fields(pid: int) -> list[str]:
    """The fields of /proc/<pid>/stat after the command name; none where the system has no such file."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()
