"""What loading the code location costs, beside Dagster and its dbt integration alone.

    python -m benchmarks.definitions_load --rounds 5

Every process that works for Dagster loads the definitions once: each run, each step in a pod, each restart of the code
server. Interpreters take turns, because the pace of a shared machine changes; the best of each counts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
SUBJECTS = {"dagster": "import dagster, dagster_dbt", "definitions": "import orchestration.definitions"}
_TELL = "spent = time.process_time(); import json, sys; print(json.dumps([spent, len(sys.modules)]))"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="interpreters of each kind that are measured")
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        for statement in SUBJECTS.values():
            _load(statement, home)  # writes the bytecode that an installed project has, and parses the dbt project
        rounds = [{name: _load(one, home) for name, one in SUBJECTS.items()} for _ in range(wish.rounds)]
    best = {name: min(measured[name] for measured in rounds) for name in SUBJECTS}
    print("| | CPU, s (best) | modules |")
    print("|---|---|---|")
    for name, (spent, modules) in best.items():
        print(f"| {name} | {spent:.2f} | {modules:,} |")
    ours, theirs = best["definitions"], best["dagster"]
    print(f"| ratio | {ours[0] / theirs[0]:.2f} | {ours[1] / theirs[1]:.2f} |")


def _load(statement: str, home: str) -> tuple[float, int]:
    """CPU seconds and loaded modules of a fresh interpreter after the import."""
    variables = {**os.environ, "PROMPTORY_HOME": home, "DAGSTER_HOME": home}
    variables.pop("PYTHONDONTWRITEBYTECODE", None)
    program = [sys.executable, "-W", "ignore", "-c", f"import time; {statement}; {_TELL}"]
    done = subprocess.run(program, cwd=CHECKOUT, env=variables, stdout=subprocess.PIPE, text=True, check=True)
    spent, modules = json.loads(done.stdout.splitlines()[-1])
    return spent, modules


if __name__ == "__main__":
    main()
