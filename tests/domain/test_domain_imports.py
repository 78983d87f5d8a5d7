"""The rules load quickly and pull in nothing heavy."""

from __future__ import annotations

import subprocess
import sys

LOADED = """
import pkgutil, sys, domain
for module in pkgutil.walk_packages(domain.__path__, "domain."):
    __import__(module.name)
print(" ".join(sorted({name.split(".")[0] for name in sys.modules})))
"""


def test_loading_every_rule_loads_no_heavy_package() -> None:
    output = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True).stdout
    loaded = set(output.split())
    assert "domain" in loaded
    assert not loaded & {"pandas", "numpy", "scipy", "statsmodels", "matplotlib", "dagster", "dspy", "sqlalchemy"}
