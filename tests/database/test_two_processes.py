"""Two processes that meet in one new database."""

from __future__ import annotations

import subprocess
import sys

from resources.database import schema
from resources.database.repositories import dataset_versions
from resources.database.session import open_database

PROGRAM = """
import sys
from datetime import UTC, datetime
from resources.database import schema
from resources.database.repositories import dataset_versions
from resources.database.session import open_database

print("ready", flush=True)
sys.stdin.readline()
database = open_database(sys.argv[1])
print(schema.upgrade(database)[0])
for number in range(40):
    owner = sys.argv[2] if number % 4 == 0 else "0"
    with database.session() as session:
        dataset_versions.register(
            session, "triage", f"{owner}{number:02d}".rjust(64, "0"),
            storage_path="x", rows=1, split_rows={}, quarantined=0, sources=[], now=datetime.now(UTC),
        )
database.dispose()
"""


def test_they_upgrade_and_register_without_a_gap_or_a_double(empty_url: str):
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", PROGRAM, empty_url, owner],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for owner in "12"
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    before = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted(before) == [schema.head_revision(), "None"]

    database = open_database(empty_url)
    with database.session(read_only=True) as session:
        stored = dataset_versions.list_dataset_versions(session, "triage")
    database.dispose()
    # of each 40 ids, 30 are both processes' and 10 the process's own
    assert [version.version for version in stored] == list(range(50, 0, -1))
