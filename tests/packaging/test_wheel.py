"""The built wheel is complete: definitions, dbt project, migrations and price table load from it alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).parents[2]

PROBE = """
import json
import orchestration.definitions as definitions
from orchestration.environments import Environment
from resources.database.schema import upgrade
from resources.database.session import open_database
from resources.llm.prices import PriceBook
keys = [key.to_user_string() for key in definitions.defs.resolve_asset_graph().get_all_asset_keys()]
revision = upgrade(open_database(Environment.read().database))[1]
priced = PriceBook({}).price_of("openai/gpt-4o-mini") is not None
print(json.dumps([definitions.__file__, sorted(keys), revision, priced]))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's content in a folder of its own, built from a copy so that no build folder is left here."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(source)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "content")
    return folder / "content"


def test_definitions_load_from_the_wheel_alone(unpacked: Path, tmp_path: Path) -> None:
    variables = {**os.environ, "PYTHONPATH": str(unpacked), "PROMPTORY_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], cwd=tmp_path, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    file, keys, revision, priced = json.loads(done.stdout.splitlines()[-1])
    assert Path(file).is_relative_to(unpacked)
    assert {"dataset", "evaluation", "promotion", "call_log", "metrics/calls_by_day"} <= set(keys)
    assert revision == "0006"
    assert priced


def test_nothing_but_the_product_is_shipped(unpacked: Path) -> None:
    top = {path.name for path in unpacked.iterdir() if not path.name.endswith(".dist-info")}
    assert top == {"assets", "dbt_metrics", "domain", "jobs", "orchestration", "resources", "sensors"}
