"""The UI's pages about assets with many partitions, opened in a browser, and the GraphQL queries they make."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.thousand_tasks import ROOT

READY_S = 180.0
PAGE_S = 120.0
PAGES = {
    "assets": "/assets",
    "asset, overview": "/assets/evaluation?view=overview",
    "asset, partitions": "/assets/evaluation?view=partitions",
    "asset, one partition": "/assets/evaluation?view=partitions&partition=task_00007",
    "asset, lineage": "/assets/evaluation?view=lineage",
    "global graph": "/asset-groups/",
}


def measure_pages(folder: Path, browser: str, rounds: int) -> dict[str, list[float]]:
    """Seconds of each page until nothing more is loaded, and of each GraphQL operation over all pages."""
    from playwright.sync_api import sync_playwright

    seconds: dict[str, list[float]] = defaultdict(list)
    with web_server(folder) as address, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        for _ in range(rounds):
            for name, path in PAGES.items():
                page = chromium.new_page()
                page.on("requestfinished", lambda request: _note_query(request, seconds))
                started = time.perf_counter()
                page.goto(address + path, timeout=PAGE_S * 1000)
                page.wait_for_load_state("networkidle", timeout=PAGE_S * 1000)
                seconds[f"page {name}"].append(time.perf_counter() - started)
                page.close()
        chromium.close()
    return dict(sorted(seconds.items(), key=lambda item: (not item[0].startswith("page"), -max(item[1]))))


def _note_query(request: Any, seconds: dict[str, list[float]]) -> None:
    if not request.url.endswith("/graphql") and "/graphql?" not in request.url:
        return
    name = json.loads(request.post_data or "{}").get("operationName") or "unnamed"
    seconds[f"query {name}"].append(max(0.0, request.timing["responseEnd"]) / 1000)


@contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """A web server on the home, alone; its address."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [sys.executable, "-m", "dagster_webserver", "-w", str(ROOT / "workspace.yaml"), "-p", str(port)]
    log = (folder / "webserver.log").open("w")
    server = subprocess.Popen(
        command, cwd=folder, stdout=log, stderr=log, start_new_session=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{address}/server_info", log.name)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
        log.close()


def _wait_for(url: str, log: str) -> None:
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise TimeoutError(f"the web server did not start, see {log}")
