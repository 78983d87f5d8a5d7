"""What a call through the execution core costs, beside other ways to make it.

Every subject runs in a process of its own against one loopback provider. A round gives each subject the same number of
calls, one subject after the other, and its CPU seconds (user and system, all threads, the ledger's writes included) are
set against those of plain aiohttp in the same round; the table shows the median and the spread of these ratios over
the rounds. Absolute times mean little on a shared machine; ratios of one run do.

    python -m benchmarks.overhead --quick           a minute's look
    python -m benchmarks.overhead --only core cache the subjects whose name holds one of the words
    python -m benchmarks.overhead                   the full table, written to benchmarks/RESULTS.md
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median

from benchmarks.provider import ROOT, Behaviour, start_provider
from benchmarks.subjects import SUBJECTS

BASELINE = "raw aiohttp"
# They cost ten times as much and more, so fewer calls say as much.
DEAR = ("DSPy's client", "LiteLLM Router")
THROUGHPUT = (BASELINE, "core, memory", "core, sqlite", "core, redis")
PACKAGES = ("promptory", "aiohttp", "dspy", "litellm", "pydantic", "sqlalchemy")
RESULTS = Path(__file__).with_name("RESULTS.md")


@dataclass(frozen=True)
class Target:
    """What a ratio is held to: at most, or (`least`) at least, so many times plain aiohttp."""

    ratio: float
    least: bool = False

    def verdict(self, ratio: float) -> str:
        met = ratio >= self.ratio if self.least else ratio <= self.ratio
        return f"{'≥' if self.least else '≤'} {self.ratio:g}: {'met' if met else 'missed'}"


TARGETS = {
    "core, memory": Target(1.5),
    "core, sqlite": Target(2.5),
    "core, redis": Target(2.5),
    "cache hit, memory": Target(0.15),
    "LiteLLM Router": Target(20, least=True),
}


class Worker:
    """A subject's process."""

    def __init__(self, name: str, process: subprocess.Popen[str]) -> None:
        self.name = name
        self._process = process
        self._next = 0

    def ready(self) -> None:
        """Wait until it has opened."""
        assert self._line() == "ready", f"{self.name} did not start"

    def run(self, calls: int, concurrency: int) -> dict[str, float]:
        """CPU and wall seconds of `calls` calls."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self._next} {calls} {concurrency}\n")
        self._process.stdin.flush()
        self._next += calls
        return json.loads(self._line())

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def start_worker(name: str, base_url: str) -> Iterator[Worker]:
    """The subject's process; it ends with the block."""
    command = [sys.executable, "-m", "benchmarks.worker", name, base_url]
    environment = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Worker(name, process)
        finally:
            if process.stdin is not None:
                process.stdin.close()


@dataclass(frozen=True)
class Line:
    """One subject's result: CPU milliseconds per call (median), and its ratios to the baseline over the rounds."""

    name: str
    cpu_ms: float
    ratios: list[float]

    @property
    def ratio(self) -> float:
        return median(self.ratios)


def measure(names: list[str], options: argparse.Namespace) -> list[Line]:
    """CPU per call of each subject, interleaved."""
    with ExitStack() as stack:
        provider = stack.enter_context(start_provider(Behaviour(latency_s=options.latency)))
        workers = [stack.enter_context(start_worker(name, provider.base_url)) for name in names]
        for worker in workers:
            worker.ready()
            worker.run(max(10, _calls(worker.name, options) // 5), options.concurrency)
        rounds: dict[str, list[float]] = {name: [] for name in names}
        for number in range(options.repetitions):
            print(f"round {number + 1} of {options.repetitions}", file=sys.stderr)
            for worker in workers:
                calls = _calls(worker.name, options)
                rounds[worker.name].append(worker.run(calls, options.concurrency)["cpu_s"] / calls)
    base = rounds[BASELINE]
    return [
        Line(name, median(costs) * 1000, [cost / raw for cost, raw in zip(costs, base, strict=True)])
        for name, costs in rounds.items()
    ]


def throughput(options: argparse.Namespace) -> dict[str, float]:
    """Calls per second of 256 callers whose provider takes 200 ms, as a share of plain aiohttp's."""
    seen: dict[str, list[float]] = {name: [] for name in THROUGHPUT}
    calls = 256 * (3 if options.quick else 10)
    with ExitStack() as stack:
        provider = stack.enter_context(start_provider(Behaviour(latency_s=0.2)))
        workers = [stack.enter_context(start_worker(name, provider.base_url)) for name in THROUGHPUT]
        for worker in workers:
            worker.ready()
            worker.run(256, 256)
        for _ in range(3):
            for worker in workers:
                seen[worker.name].append(calls / worker.run(calls, 256)["wall_s"])
    return {name: median(rates) for name, rates in seen.items()}


def report(lines: list[Line], rates: dict[str, float], options: argparse.Namespace) -> str:
    """The tables as Markdown."""
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    text = [
        "# Results",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores. {versions}.",
        "",
        "## CPU of the client process per call",
        "",
        (
            f"{options.calls} calls ({options.calls // 10} of the dear ones) in each of {options.repetitions} rounds, "
            f"{options.concurrency} at a time, provider latency {options.latency * 1000:g} ms. The ratio is to plain "
            "aiohttp in the same round: median, and least to greatest."
        ),
        "",
        "| subject | ratio | spread | ms | target |",
        "|---|--:|---|--:|---|",
    ]
    for line in lines:
        target = TARGETS[line.name].verdict(line.ratio) if line.name in TARGETS else ""
        spread = f"{min(line.ratios):.2f}–{max(line.ratios):.2f}"
        text.append(f"| {line.name} | {line.ratio:.2f} | {spread} | {line.cpu_ms:.3f} | {target} |")
    text += [
        "",
        (
            "`core` has cache, rate limiter, breaker, three capped budget scopes, ledger and one subscriber on, unless "
            "its name says otherwise; every prompt is new, so that its cache misses and is filled. A hit asks one "
            "prompt of 2 kB again and again; its ledger line is included."
        ),
    ]
    if rates:
        raw = rates[BASELINE]
        text += ["", "## Throughput, 256 callers, provider latency 200 ms", "", "| subject | calls/s | share |"]
        text += ["|---|--:|--:|", *(f"| {name} | {rate:.0f} | {rate / raw:.0%} |" for name, rate in rates.items())]
    return "\n".join(text) + "\n"


def _calls(name: str, options: argparse.Namespace) -> int:
    return max(5, options.calls // 10) if name in DEAR else options.calls


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"


def _chosen(words: list[str]) -> list[str]:
    names = [name for name in SUBJECTS if not words or any(word in name for word in words)]
    return names if BASELINE in names else [BASELINE, *names]


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.overhead", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="1/50 of the calls; prints, writes no file")
    parser.add_argument("--calls", type=int, default=10_000, help="calls per subject and round (default: 10000)")
    parser.add_argument("--repetitions", type=int, default=7, help="rounds (default: 7)")
    parser.add_argument("--concurrency", type=int, default=64, help="calls under way at once (default: 64)")
    parser.add_argument("--latency", type=float, default=0.02, help="seconds the provider takes (default: 0.02)")
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD", help="only subjects whose name holds a WORD")
    parser.add_argument("--no-throughput", action="store_true", help="leave the throughput table out")
    parser.add_argument("--output", type=Path, help=f"where to write (default: {RESULTS.name}, if the table is whole)")
    options = parser.parse_args(arguments)
    if options.quick:
        options.calls = max(1, options.calls // 50)
        options.repetitions = min(3, options.repetitions)
    return options


def main() -> None:
    """Measure, print, and write the whole table."""
    options = parse_options()
    lines = measure(_chosen(options.only), options)
    rates = {} if options.no_throughput else throughput(options)
    text = report(lines, rates, options)
    print(text)
    whole = not options.quick and not options.only and not options.no_throughput
    if target := options.output or (RESULTS if whole else None):
        target.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
