"""A thousand tasks: how long the catalog, the sensors, the definitions, a plan and the pages of the UI take.

    python -m benchmarks.thousand_tasks --tasks 1000
    python -m benchmarks.thousand_tasks --tasks 1000 --only ticks plan

Needs a minute or two to make the home. The pages are opened in a Chromium (`--browser` names it): what is timed are the
GraphQL queries that they really make, and the pages themselves until the network is quiet. Everything is below a
temporary folder, or `--folder`, which can then be used again.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PARTS = ("definitions", "catalog", "ticks", "plan", "pages")
QUIET = "telemetry: {enabled: false}\nnux: {enabled: false}\n"


def main() -> None:
    """Make the home, measure each part in a process of its own, print a table."""
    options = _options()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="promptory-thousand-"))
    _surround(folder)
    if not (folder / "made").exists():
        _note(f"making {options.tasks} tasks below {folder}")
        _child("make", folder, str(options.tasks))
        (folder / "made").write_text(str(options.tasks))
    figures: dict[str, Any] = {}
    for part in options.only:
        _note(part)
        if part == "pages":
            from benchmarks.asset_pages import measure_pages

            figures[part] = measure_pages(folder, options.browser, options.rounds)
        else:
            figures[part] = json.loads(_child(part, folder, str(options.rounds)))
    print(json.dumps(figures, indent=2) if options.json else _table(figures))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5, help="how often each thing is done")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--folder", type=Path, help="where the home is made, or was")
    parser.add_argument("--browser", default="/usr/bin/chromium")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _surround(folder: Path) -> None:
    (folder / "home" / "dagster").mkdir(parents=True, exist_ok=True)
    (folder / "home" / "dagster" / "dagster.yaml").write_text(QUIET)
    os.environ["PROMPTORY_HOME"] = str(folder / "home")
    os.environ["PROMPTORY_CATALOG"] = str(folder / "catalog")
    os.environ["DAGSTER_HOME"] = str(folder / "home" / "dagster")


def _child(part: str, folder: Path, argument: str) -> str:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.thousand_tasks_parts", part, str(folder), argument]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.strip().splitlines()[-1] if done.stdout.strip() else ""


def seconds_of(work: Callable[[], object], rounds: int) -> list[float]:
    """How long each of `rounds` repetitions took."""
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        work()
        taken.append(time.perf_counter() - started)
    return taken


def quantile(values: Sequence[float], share: float) -> float:
    """Nearest rank."""
    ranked = sorted(values)
    return ranked[max(0, min(len(ranked) - 1, round(share * len(ranked) + 0.5) - 1))]


def _table(figures: dict[str, Any]) -> str:
    lines = [f"{'':58s} {'first':>8s} {'p50':>8s} {'p95':>8s}   seconds"]
    for part, measured in figures.items():
        for name, seconds in measured.items():
            shown = (seconds[0], statistics.median(seconds), quantile(seconds, 0.95))
            lines.append(f"{part + ': ' + name:58s} " + " ".join(f"{value:8.3f}" for value in shown))
    return "\n".join(lines)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
