"""Assets of one task in this process, as the command line runs them: `python loop_worker.py <task> <asset> …`."""

from __future__ import annotations

import sys

from orchestration.environments import Environment
from orchestration.launch import run_assets

if __name__ == "__main__":
    run_assets(Environment.read(), sys.argv[1], sys.argv[2:])
