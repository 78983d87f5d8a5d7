"""The process of an object store on loopback: one per test process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


class ObjectStore:
    """A server program beside this file; it prints its port and then serves until it is killed."""

    def __init__(self, program: str) -> None:
        command = [sys.executable, str(Path(__file__).with_name(program))]
        # Nobody reads what it says meanwhile, so it must say nothing.
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        port = self._process.stdout.readline()
        if not port:
            self.stop()
            raise RuntimeError(f"{program} did not start; run it by hand to see why")
        self.url = f"http://127.0.0.1:{int(port)}"

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
