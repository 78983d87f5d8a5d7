"""`promptory dashboard`: from the ledger to the page, and what it says where there is nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli.conftest import Workshop

COMMAND = (sys.executable, "-c", "from orchestration.cli import main; main()")


def made(*arguments: str) -> Any:
    """The JSON of `promptory dashboard`, in a process of its own: dbt writes to the real standard output."""
    told = subprocess.run([*COMMAND, "dashboard", "--json", *arguments], capture_output=True, check=False)
    assert told.returncode == 0, told.stderr.decode()
    return json.loads(told.stdout)


def test_without_collecting_there_is_nothing_to_show(workshop: Workshop) -> None:
    assert workshop.run("db", "upgrade").code == 0
    told = workshop.run("dashboard", "--no-collect")
    assert told.code == 2
    assert "promptory dashboard" in " ".join(told.err.split())


@pytest.mark.slow
def test_the_page_has_the_ledger_s_money_and_is_collected_once(looped: Workshop) -> None:
    spent = looped.run("cost", "--json").value["total"]["spent_nano_usd"]
    page = looped.root / "page.html"
    first = made("--to", str(page))
    assert first["days_collected"] == 1
    assert first["cost_nano_usd"] == spent > 0
    assert [one["task"] for one in first["tasks"]] == ["tickets"]
    assert "<svg" in page.read_text()
    second = made()
    assert second["days_collected"] == 0
    assert second["cost_nano_usd"] == spent
    assert Path(second["path"]).is_file()
