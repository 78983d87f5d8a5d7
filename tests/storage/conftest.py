"""One storage root of every kind: what holds on one must hold on all."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from upath import UPath

from resources.storage.location import path_at


@pytest.fixture(params=["local", "memory", "s3", "gcs"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> UPath:
    """An empty storage root."""
    if request.param == "local":
        return path_at(tmp_path)
    if request.param == "memory":
        return path_at(f"memory://storage-{uuid.uuid4().hex}")
    return request.getfixturevalue(f"{request.param}_root") / "promptory"
