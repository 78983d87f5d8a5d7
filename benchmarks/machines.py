"""Processes that are on a machine of their own as far as they can tell: its host name, its process ids, its /proc.

They share the real machine's kernel, clock, network and files.
"""

from __future__ import annotations

import shutil
import subprocess

NAMESPACES = ("--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")


def on_machine(host: str) -> list[str]:
    """What to put before a command, so that it runs as process 1 of a machine called `host`. Needs root."""
    return [shutil.which("unshare") or "unshare", *NAMESPACES, "/bin/sh", "-ec", 'hostname "$0"; exec "$@"', host]


def can_isolate() -> bool:
    """Whether this machine lets us do so."""
    if shutil.which("unshare") is None:
        return False
    probe = [*on_machine("probe"), "mount", "-t", "tmpfs", "tmpfs", "/srv"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0
