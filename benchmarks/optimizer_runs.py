"""One optimizer run in a process of its own, by Promptory or by plain DSPy: `python -m benchmarks.optimizer_runs …`.

Prints one JSON object. What both sides need before the first call (imports, dataset, database, program) is made before
the clock starts.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from upath import UPath

from benchmarks.meter import PRICE
from benchmarks.sorter import LABEL_FIELD, TEXT_FIELD
from benchmarks.worker import cpu_s

if TYPE_CHECKING:
    from domain.dataset import DatasetVersion
    from domain.task import Task
    from resources.database.session import Database

NAME = "sorting"
MODEL = "openai/m"
OURS, PLAIN, CACHED = "Promptory", "DSPy", "DSPy, cache on"
SIDES = (OURS, PLAIN, CACHED)
INSTRUCTIONS = "Say what the customer's question is about."
# These choose on dev themselves; after the others a user of DSPy still has to score start and result there.
SCORE_THEMSELVES = ("bootstrap_random_search", "copro", "mipro_v2", "gepa")

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "bootstrap_few_shot": {"max_bootstrapped": 4, "max_labeled": 16},
    "bootstrap_random_search": {"candidates": 6, "max_bootstrapped": 4, "max_labeled": 16},
    "copro": {"breadth": 4, "depth": 2},
    "mipro_v2": {"auto": "light", "max_bootstrapped": 4, "max_labeled": 4},
    "simba": {"steps": 2, "batch_rows": 16, "candidates": 4, "train_rows": 64},
    "gepa": {"max_rows": 300},
}


@dataclass(frozen=True)
class Measured:
    """One run.

    Attributes:
        wall_s, cpu_s: of the compilation; the process' CPU, all threads.
        calls: requests the provider counted in that time.
        asked: answers this side says it asked for in all, scoring included; None where a cache gave some of them.
        nano_usd: what the provider billed for them.
        peak: most requests under way at once since the provider started.
        score: of the result on dev, 0 to 1.
        scored_wall_s, scored_calls, scored_nano_usd: with both the start and the result scored on dev.
    """

    wall_s: float
    cpu_s: float
    calls: int
    asked: int | None
    nano_usd: int
    peak: int
    score: float | None
    scored_wall_s: float
    scored_calls: int
    scored_nano_usd: int


def write_task(folder: Path, rows: dict[str, str], kind: str, threads: int, changes: dict[str, Any]) -> None:
    """Catalog with one task over `rows` (label by text)."""
    for name in ("tasks", "datasets"):
        (folder / "catalog" / name).mkdir(parents=True)
    with (folder / "catalog" / "datasets" / "rows.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([(TEXT_FIELD, LABEL_FIELD), *rows.items()])
    values = {
        "name": NAME,
        "dataset": {
            "source": "../datasets/rows.csv",
            "inputs": [TEXT_FIELD],
            "output": LABEL_FIELD,
            "split": {"seed": 1, "train": 0.5, "dev": 0.3, "test": 0.2},
        },
        "prompt": {
            "model": MODEL,
            "parameters": {"temperature": 0.0, "max_output_tokens": 64},
            "system_prompt": INSTRUCTIONS,
            "output_prompt": f"Question: {{{{ {TEXT_FIELD} }}}}",
            "output": {"kind": "choice", "choices": sorted(set(rows.values()))},
        },
        "evaluators": [{"kind": "choice_label"}],
        "optimizer": {"kind": kind, "threads": threads, **OPTIMIZERS[kind], **changes},
        "budget": {"run_usd": "100"},
    }
    (folder / "catalog" / "tasks" / f"{NAME}.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[tuple[Database, Task, DatasetVersion]]:
    """A new database with the task's dataset in it."""
    from resources.catalog.catalog import Catalog
    from resources.catalog.snapshot import take_snapshot
    from resources.database.schema import upgrade
    from resources.database.session import open_database
    from resources.storage.datasets import DatasetStore

    entry = Catalog(folder / "catalog").get(NAME)
    database = open_database(f"sqlite:///{folder / 'promptory.db'}")
    try:
        upgrade(database)
        store = DatasetStore(UPath(folder / "storage"))
        snapshot = take_snapshot(entry, UPath(folder / "landing"), database, store, datetime.now(UTC))
        yield database, entry.task, snapshot.version
    finally:
        database.dispose()


def run_ours(folder: Path, base_url: str) -> Measured:
    """The optimization run as the asset runs it, the core with SQLite state, cache and caps, ledger and journal."""
    import resources.dspy_runtime.compiling  # noqa: F401 - loads DSPy, which the other side has loaded, too
    from resources.database.repositories import effort, prompt_versions
    from resources.llm import CoreSettings, open_client_sync
    from resources.optimization.run_optimization import OptimizationRun

    def clock() -> datetime:
        return datetime.now(UTC)

    with opened(folder) as (database, task, dataset):
        with database.session() as session:
            prompt = prompt_versions.register(session, NAME, task.prompt.version(), created_by="author", now=clock())
            run = OptimizationRun(task, prompt, dataset, session)
        settings = CoreSettings.parse(
            {
                "ledger": f"sqlite:///{folder / 'promptory.db'}",
                "state": f"sqlite:///{folder / 'state.db'}",
                "endpoints": {"openai": {"base_url": base_url, "api_key": "key"}},
                "prices": {MODEL: PRICE},
                "budgets": task.caps(run.id),
            }
        )
        root = UPath(folder / "storage")
        run.plan(root, settings)  # as the asset does; with it, what reads rows is loaded, as on the other side
        watch = _Watch(base_url)
        record = run.execute(database, root, lambda: open_client_sync(settings), clock)
        wall, cpu, counts = watch.read()
        with database.session(read_only=True) as session:
            spent = effort.run_effort(session, run.id)
    asked, billed = spent.calls - spent.cached, counts["nano_usd"]
    score = record.dev_score
    return Measured(
        wall, cpu, counts["requests"], asked, billed, counts["peak_running"], score, wall, counts["requests"], billed
    )


def run_dspy(folder: Path, base_url: str, *, cache: bool) -> Measured:
    """`compile`, then what it leaves unknown: how start and result score on dev."""
    from benchmarks.plain_dspy import plain_dspy
    from domain.optimization import scored_rows
    from resources.dspy_runtime.rows import dev_subset, shuffled
    from resources.storage.datasets import DatasetStore, TrainingRows

    with opened(folder) as (_, task, dataset):
        rows = TrainingRows(DatasetStore(UPath(folder / "storage")), dataset)
    spec = task.optimizer
    assert spec is not None
    # The rows in the order in which Promptory gives them to the same optimizer.
    train, dev = shuffled(rows.train, spec.seed), dev_subset(rows.dev, spec.seed, scored_rows(spec, len(rows.dev)))
    labels = sorted({str(row.output) for row in (*rows.train, *rows.dev)})
    plain = plain_dspy(base_url, "\n- ".join([INSTRUCTIONS, *labels]), train, dev, spec, cache=cache)
    start = plain.program.deepcopy()
    watch = _Watch(base_url)
    chosen = plain.compile()
    wall, cpu, counts = watch.read()
    score, scored_wall, scored = None, wall, counts
    if spec.kind not in SCORE_THEMSELVES:
        plain.score(start)
        score = plain.score(chosen)
        scored_wall, _, scored = watch.read()
    return Measured(
        wall,
        cpu,
        counts["requests"],
        None if cache else plain.count.asked,
        counts["nano_usd"],
        counts["peak_running"],
        score,
        scored_wall,
        scored["requests"],
        scored["nano_usd"],
    )


class _Watch:
    """Wall and CPU seconds, requests and the bill since it was made."""

    def __init__(self, base_url: str) -> None:
        self._url = base_url.removesuffix("/v1") + "/counts"
        self._before = self._counts()
        self._wall, self._cpu = time.perf_counter(), cpu_s()

    def read(self) -> tuple[float, float, dict[str, int]]:
        """All of them; the peak is the server's, since it started."""
        wall, cpu, now = time.perf_counter() - self._wall, cpu_s() - self._cpu, self._counts()
        since = {name: now[name] - self._before[name] for name in ("requests", "nano_usd")}
        return wall, cpu, {**since, "peak_running": now["peak_running"]}

    def _counts(self) -> dict[str, int]:
        with urllib.request.urlopen(self._url, timeout=60) as reply:
            return json.load(reply)


RUNS: dict[str, Callable[[Path, str], Measured]] = {
    OURS: run_ours,
    PLAIN: lambda folder, url: run_dspy(folder, url, cache=False),
    CACHED: lambda folder, url: run_dspy(folder, url, cache=True),
}


def main() -> None:
    """One run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("side", choices=SIDES)
    parser.add_argument("kind", choices=list(OPTIMIZERS))
    parser.add_argument("base_url")
    parser.add_argument("rows", type=Path, help="JSON object: label by text")
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--changes", type=json.loads, default={}, help="JSON object: other settings of the optimizer")
    options = parser.parse_args()
    rows = json.loads(options.rows.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="optimizer-") as folder:
        os.environ["DSPY_CACHEDIR"] = str(Path(folder) / "dspy")
        write_task(Path(folder), rows, options.kind, options.threads, options.changes)
        # DSPy talks a lot, to both streams; what goes wrong still ends the process with its traceback.
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
            measured = RUNS[options.side](Path(folder), options.base_url)
    print(json.dumps(asdict(measured)))


if __name__ == "__main__":
    main()
