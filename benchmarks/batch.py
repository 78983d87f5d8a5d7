"""Batches beside plain aiohttp: calls per second, memory, events, and what a row costs the driver.

Both ask the same loopback provider, at the same concurrency, one after the other in one run: aiohttp with one POST per
row and nothing else; then the asset `batch_predictions`, run by Dagster, on a file with as many rows, with all guards,
the ledger, leases and durable answers on. Resident memory is looked at while it runs; its growth is from the moment the
first tenth of the rows is done.

    python -m benchmarks.batch --rows 10000                        half a minute
    python -m benchmarks.batch --rows 100000 --state sqlite        full scale, some seven minutes
    python -m benchmarks.batch --rows 100000 --state redis         Postgres and Valkey of its own, started here
    python -m benchmarks.batch --offline --rows 1000000            offline/nearest: what the driver itself costs
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.provider import PRICE, ROOT, Behaviour, start_provider
from benchmarks.valkey import ValkeyServer
from benchmarks.wire import allow_many_sockets

MODEL = "m"
TASK = "sorting"
PROMPT = "You sort the messages of customers. Answer with one label."
TEXT = "My parcel is late and I want my money back."
LOOK_S = 0.5


@dataclass
class Memory:
    """Resident bytes of a process over its run."""

    seen: list[tuple[float, int]] = field(default_factory=list)

    def look(self, pid: int) -> None:
        """Note what `pid` holds now."""
        try:
            pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return
        self.seen.append((time.monotonic(), pages * os.sysconf("SC_PAGE_SIZE")))

    def growth_mb(self, since: float) -> float:
        """The most it held after `since`, less what it held then."""
        later = [size for at, size in self.seen if at >= since]
        return (max(later) - later[0]) / 1e6 if later else 0.0

    @property
    def peak_mb(self) -> float:
        return max((size for _, size in self.seen), default=0) / 1e6


async def raw(base_url: str, rows: int, concurrency: int) -> float:
    """Calls per second of aiohttp."""
    import aiohttp

    headers = {"Authorization": "Bearer key", "Content-Type": "application/json"}
    numbers = iter(range(rows))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency), headers=headers) as session:

        async def caller() -> None:
            for number in numbers:
                body = {
                    "model": MODEL,
                    "messages": [{"role": "user", "content": f"{PROMPT}\n{number} {TEXT}"}],
                    "max_tokens": 16,
                    "temperature": 0.0,
                }
                async with session.post(f"{base_url}/chat/completions", data=json.dumps(body).encode()) as response:
                    answer = json.loads(await response.read())
                assert answer["choices"][0]["message"]["content"]

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(concurrency)))
        return rows / (time.perf_counter() - began)


def lay_out(folder: Path, base_url: str | None, options: argparse.Namespace) -> None:
    """A catalog with one task, settings, and the file of rows."""
    import yaml

    model = "offline/nearest" if base_url is None else f"openai/{MODEL}"
    prompt: dict[str, Any] = {"model": model, "parameters": {"max_output_tokens": 16}, "system_prompt": PROMPT}
    prompt |= {"output_prompt": "{{ text }}", "output": {"kind": "text"}}
    if base_url is None:
        prompt["output"] = {"kind": "choice", "choices": {"refund": "wants money back", "delivery": "parcel is late"}}
    task = {
        "name": TASK,
        "dataset": {"source": "../rows.csv", "inputs": ["text"], "output": "label"},
        "prompt": prompt,
        "evaluators": [{"kind": "exact_match"}] if base_url else [{"kind": "choice_label"}],
        "batch": {"key": "number", "concurrency": options.concurrency, "chunk_rows": options.chunk_rows},
    }
    settings: dict[str, Any] = {"budgets": dict.fromkeys(("day", "month", f"task:{TASK}"), "1000")}
    if base_url is not None:
        connections = {"max_connections": options.concurrency}
        settings["endpoints"] = {"openai": {"base_url": base_url, "api_key": "${BENCHMARK_KEY}", **connections}}
        settings["prices"] = {f"openai/{MODEL}": PRICE}
        settings["limits"] = {f"openai/{MODEL}": {"requests_per_minute": 10**7, "tokens_per_minute": 10**10}}
    (folder / "catalog" / "tasks").mkdir(parents=True)
    (folder / "catalog" / "tasks" / f"{TASK}.yaml").write_text(yaml.safe_dump(task))
    (folder / "promptory.yaml").write_text(yaml.safe_dump(settings))
    rows = folder / "home" / "batches" / TASK / "rows.csv"
    rows.parent.mkdir(parents=True)
    with rows.open("w", encoding="utf-8") as file:
        file.write("number,text\n")
        file.writelines(f"{number},{number} {TEXT}\n" for number in range(options.rows))
    os.utime(rows, (time.time() - 60,) * 2)


@contextmanager
def servers(state: str) -> Iterator[dict[str, str]]:
    """Environment variables that name the state store and the database; nothing for SQLite."""
    with ExitStack() as stack:
        if state == "sqlite":
            yield {}
            return
        sys.path.insert(0, str(ROOT / "tests"))
        from servers.postgres import PostgresServer

        postgres = stack.enter_context(PostgresServer())
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            postgres.execute(f"ALTER SYSTEM SET {setting} = on")
        postgres.execute("SELECT pg_reload_conf()")
        redis = stack.enter_context(ValkeyServer())
        yield {"PROMPTORY_DATABASE_URL": postgres.url(postgres.create()), "PROMPTORY_STATE_URL": redis.url()}


def run_batch(folder: Path, variables: dict[str, str], rows: int) -> dict[str, Any]:
    """The run's own figures, with its memory as seen from outside."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PROMPTORY_")},
        "PROMPTORY_HOME": str(folder / "home"),
        "PROMPTORY_CATALOG": str(folder / "catalog"),
        "PROMPTORY_CONFIG": str(folder / "promptory.yaml"),
        "DAGSTER_HOME": "",
        "BENCHMARK_KEY": "key",
        **variables,
    }
    environment.pop("DAGSTER_HOME")
    memory = Memory()
    command = [sys.executable, "-m", "benchmarks.batch_run"]
    log = folder / "run.log"
    with (
        log.open("wb") as told,
        subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=told) as process,
    ):
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        heard, steady = b"", None
        while process.poll() is None:
            memory.look(process.pid)
            heard += process.stdout.read() or b""
            if steady is None and (done := _rows_done(heard)) is not None and done >= rows / 10:
                steady = time.monotonic()
            time.sleep(LOOK_S)
        heard += process.stdout.read() or b""
    if process.returncode:
        tail = log.read_text(errors="replace")[-2000:]
        raise SystemExit(f"the run ended with {process.returncode}: {tail}")
    figures = json.loads(heard.strip().splitlines()[-1])
    return {**figures, "growth_mb": memory.growth_mb(steady or 0.0), "peak_mb": memory.peak_mb}


def _rows_done(heard: bytes) -> int | None:
    lines = [line for line in heard.splitlines() if line.startswith(b"rows ")]
    return int(lines[-1].split()[1]) if lines else None


def report(figures: dict[str, Any], raw_rate: float | None, options: argparse.Namespace) -> bool:
    """Print what came out; whether it holds to what is promised."""
    rows = options.rows
    print(f"\n{rows:,} rows, {options.concurrency} at once, {'offline/nearest' if options.offline else options.state}")
    print(
        f"  batch: {figures['rows_per_s']:.1f} rows/s from claim to end, {rows / figures['wall_s']:.1f} with all around"
    )
    print(f"  driver CPU: {1000 * figures['cpu_s'] / rows:.3f} ms a row")
    print(f"  intake {figures['intake_s']:.1f} s, run {figures['wall_s']:.1f} s, resume scan {figures['scan_s']:.2f} s")
    print(f"  memory: peak {figures['peak_mb']:.0f} MB, growth {figures['growth_mb']:.0f} MB")
    print(f"  Dagster events: {figures['events']}; statuses {figures['by_status']}")
    held = [figures["events"] <= 100, figures["growth_mb"] <= 100, figures["by_status"]["ok"] == rows]
    held.append(figures["scan_s"] < 10)
    if raw_rate is not None:
        share = figures["rows_per_s"] / raw_rate
        print(f"  raw aiohttp: {raw_rate:.1f} calls/s; the batch reaches {share:.1%} of it")
        held.append(share >= 0.95)
    return all(held)


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.batch", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000, help="rows of the file (default: 10000)")
    parser.add_argument("--concurrency", type=int, default=256, help="rows under way at once (default: 256)")
    parser.add_argument("--latency", type=float, default=0.5, help="seconds the provider takes (default: 0.5)")
    parser.add_argument("--chunk-rows", type=int, default=1000, help="rows per part (default: 1000)")
    parser.add_argument("--state", choices=("sqlite", "redis"), default="sqlite", help="redis: with PostgreSQL")
    parser.add_argument("--offline", action="store_true", help="offline/nearest instead of a provider; no aiohttp")
    parser.add_argument("--raw-rows", type=int, help="rows of the aiohttp run, where fewer will do")
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder is removed afterwards")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure and tell; exit status 1 where a promise was not kept."""
    options = parse_options()
    allow_many_sockets()
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="promptory-bench-")))
        variables = stack.enter_context(servers(options.state))
        base_url, raw_rate = None, None
        if not options.offline:
            provider = stack.enter_context(start_provider(Behaviour(latency_s=options.latency)))
            base_url = provider.base_url
            raw_rate = asyncio.run(raw(base_url, options.raw_rows or options.rows, options.concurrency))
            print(f"raw aiohttp: {raw_rate:.1f} calls/s", file=sys.stderr)
        lay_out(folder, base_url, options)
        kept = report(run_batch(folder, variables, options.rows), raw_rate, options)
    raise SystemExit(0 if kept else 1)


if __name__ == "__main__":
    main()
