"""Wall time, calls and bill of Promptory's optimization runs beside DSPy's plain `compile` over its own client.

Both search the same rows, in the same order, with the same settings, seed and threads, at one scripted provider
(`sorter.py`) that says the same to both, so that both search the same way; it runs in a process of its own, counts and
bills. Every run is a process of its own, sides take turns, and the table shows medians. Promptory runs as in
production: SQLite state, caps, ledger, cache, journal. DSPy runs without its cache and with it, since one saves calls.

    python -m benchmarks.optimizers --latency 0.02x1 --only bootstrap_few_shot       half a minute's look
    python -m benchmarks.optimizers --data FOLDER --output benchmarks/OPTIMIZERS.md  the full tables, on banking77
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from statistics import median

from benchmarks.banking_task import DATA_HELP, DataMissingError, data_folder, read_rows
from benchmarks.optimizer_runs import CACHED, OPTIMIZERS, OURS, PLAIN, SCORE_THEMSELVES, SIDES, Measured
from benchmarks.provider import ROOT, Behaviour, start_provider

WORDS = {"card": "lost_card", "fee": "fee_asked", "code": "forgotten_code", "rate": "exchange_rate"}
PACKAGES = ("promptory", "dspy")


@dataclass(frozen=True)
class Latency:
    """Seconds the provider takes, and how often every run is made at that."""

    seconds: float
    repetitions: int

    @classmethod
    def parse(cls, text: str) -> Latency:
        """From `0.05x3`."""
        seconds, _, repetitions = text.partition("x")
        return cls(float(seconds), int(repetitions or 3))


Runs = dict[tuple[str, str], list[Measured]]


def made_rows(count: int) -> dict[str, str]:
    """Label by text, where there is no banking77."""
    names = list(WORDS)
    texts = ((number, names[number % len(names)]) for number in range(count))
    return {f"Please help me with my {word}, case {number}": WORDS[word] for number, word in texts}


def banking_rows(folder: Path, count: int) -> dict[str, str]:
    """Some rows of banking77, drawn with a fixed seed.

    Raises:
        DataMissingError: the folder does not hold it.
    """
    rows = [(" ".join(text.split()), label) for text, label in read_rows(folder)]
    return dict(random.Random(0).sample(rows, count))


def run(side: str, kind: str, rows: Path, latency_s: float, threads: int) -> Measured:
    """One run at a provider of its own."""
    with start_provider(Behaviour(latency_s=latency_s, labels=str(rows))) as provider:
        command = [sys.executable, "-m", "benchmarks.optimizer_runs", side, kind, provider.base_url, str(rows)]
        done = subprocess.run(
            [*command, "--threads", str(threads)], cwd=ROOT, capture_output=True, text=True, check=False
        )
    if done.returncode:
        sys.exit(f"{side}, {kind}: {done.stderr[-2000:]}")
    return Measured(**json.loads(done.stdout.strip().splitlines()[-1]))


def measure(kinds: list[str], rows: Path, latency: Latency, threads: int) -> Runs:
    """All runs at one latency, the sides in turn."""
    found: Runs = defaultdict(list)
    for number in range(latency.repetitions):
        for kind in kinds:
            for side in SIDES:
                found[kind, side].append(run(side, kind, rows, latency.seconds, threads))
            print(f"{latency.seconds:g} s, round {number + 1} of {latency.repetitions}: {kind}", file=sys.stderr)
    return found


def table(kinds: list[str], found: Runs, latency: Latency) -> str:
    """The runs at one latency as Markdown."""
    times = "once" if latency.repetitions == 1 else f"{latency.repetitions} times each, medians"
    lines = [
        f"## Provider latency {latency.seconds * 1000:g} ms ({times})",
        "",
        "| optimizer | ours, s | DSPy, s | DSPy, cache on, s | ours ÷ DSPy | ours ÷ DSPy, cache on | calls | bill, $ |",
        "|---|--:|--:|--:|--:|--:|---|---|",
    ]
    for kind in kinds:
        lines.append(_line(kind, kind, found, scored=False))
        if kind not in SCORE_THEMSELVES:
            lines.append(_line(f"{kind}, start and result scored", kind, found, scored=True))
    return "\n".join(lines)


def _line(name: str, kind: str, found: Runs, *, scored: bool) -> str:
    seconds = {side: [one.scored_wall_s if scored else one.wall_s for one in found[kind, side]] for side in SIDES}
    ours, plain, cached = (median(seconds[side]) for side in (OURS, PLAIN, CACHED))
    ratios = [
        median(mine / theirs for mine, theirs in zip(seconds[OURS], seconds[side], strict=True))
        for side in (PLAIN, CACHED)
    ]
    last = [found[kind, side][-1] for side in SIDES]
    calls = " / ".join(str(one.scored_calls if scored else one.calls) for one in last)
    bills = " / ".join(f"{(one.scored_nano_usd if scored else one.nano_usd) / 1e9:.4f}" for one in last)
    shown = " | ".join(f"{value:.2f}" for value in (ours, plain, cached, *ratios))
    return f"| {name} | {shown} | {calls} | {bills} |"


def report(tables: list[str], rows: dict[str, str], source: str, options: argparse.Namespace) -> str:
    """The page as Markdown."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in PACKAGES)
    settings = ", ".join(
        f"`{kind}` ({', '.join(f'{name} {value}' for name, value in OPTIMIZERS[kind].items())})"
        for kind in options.only or OPTIMIZERS
    )
    return f"""\
# Optimizers beside plain DSPy

{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}, {os.cpu_count()} cores. {versions}.

{len(rows)} rows ({source}), half of them train, three tenths dev; {options.threads} threads. {settings}.

Seconds are wall time of the search alone, after imports and set-up on both sides. Calls and bill are the provider's own
count: ours / DSPy / DSPy with its cache on (in memory, empty at first).

`bootstrap_few_shot` and `simba` of DSPy look at train rows alone. Ours scores the start and what was found on dev, and
what SIMBA has after each of 1, 2, 4, … steps, since without that nobody knows whether anything was gained. The second
line of each sets that against `compile` and `dspy.Evaluate` of start and result.

""" + "\n\n".join(tables)


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.optimizers",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=data_folder(), help=f"{DATA_HELP}; made-up rows without it")
    parser.add_argument("--rows", type=int, default=160, help="rows in all (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=8, help="rows under way at once (default: %(default)s)")
    parser.add_argument(
        "--latency",
        nargs="+",
        type=Latency.parse,
        default=[Latency(0.05, 3), Latency(0.2, 3)],
        metavar="SECONDSxTIMES",
        help="the provider's latency, and how often each run is made (default: 0.05x3 0.2x3)",
    )
    parser.add_argument("--only", nargs="+", choices=list(OPTIMIZERS), help="only these optimizers")
    parser.add_argument("--output", type=Path, help="also write the page here")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    options = parse_options(arguments)
    try:
        rows = banking_rows(options.data, options.rows) if options.data else made_rows(options.rows)
    except DataMissingError as error:
        sys.exit(str(error))
    kinds = options.only or list(OPTIMIZERS)
    with tempfile.TemporaryDirectory(prefix="optimizers-") as folder:
        path = Path(folder) / "rows.json"
        path.write_text(json.dumps(rows), encoding="utf-8")
        tables = [table(kinds, measure(kinds, path, one, options.threads), one) for one in options.latency]
    text = report(tables, rows, "banking77" if options.data else "made up", options) + "\n"
    print(text)
    if options.output is not None:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
