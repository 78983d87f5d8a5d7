"""How the command starts: fast, teaching, with completion."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMANDS = (
    "demo",
    "ingest",
    "optimize",
    "evaluate",
    "call",
    "cost",
    "health",
    "task list",
    "task show",
    "task validate",
    "task init",
    "prompt list",
    "prompt show",
    "prompt diff",
    "prompt promote",
    "db upgrade",
    "db status",
)
HEAVY = ("dagster", "dspy", "pandas", "sqlalchemy", "aiohttp", "scipy", "pyarrow")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_teaches_with_an_example(workshop, command):
    outcome = workshop.run(*command.split(), "--help")

    assert outcome.code == 0
    assert f"Example: promptory {command}" in " ".join(outcome.out.split())
    assert "--json" in outcome.out


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from orchestration.cli.application import app; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_commands_that_run_no_asset_do_not_load_dagster(workshop):
    workshop.write_task()
    code = (
        "import sys; from orchestration.cli.application import app\n"
        "for arguments in (['db', 'upgrade'], ['task', 'list'], ['task', 'validate'], ['cost'], ['health'],"
        " ['optimize', 'tickets', '--dry-run']):\n"
        "    app(arguments, standalone_mode=False)\n"
        "print([name for name in ('dagster', 'dspy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_exit_codes_are_the_process_s(workshop):
    program = [sys.executable, "-c", "from orchestration.cli import main; main()"]

    assert subprocess.run([*program, "task", "list"], capture_output=True, check=False).returncode == 0
    assert subprocess.run([*program, "task", "show", "x"], capture_output=True, check=False).returncode == 2
    assert subprocess.run([*program, "nonsense"], capture_output=True, check=False).returncode == 2


def test_task_names_complete(workshop):
    from orchestration.cli.options import task_names

    workshop.write_task()

    assert task_names("tic") == ["tickets"]
    assert task_names("x") == []
