"""A Google Cloud Storage server on loopback, a bucket of its own per test."""

from __future__ import annotations

import atexit
import functools
import uuid

import pytest
from servers.object_store import ObjectStore
from upath import UPath

from resources.storage.location import path_at


@functools.cache
def shared_gcs() -> ObjectStore:
    """The one server of this test process, ended with it."""
    server = ObjectStore("gcs_process.py")
    atexit.register(server.stop)
    return server


@pytest.fixture
def gcs_root(monkeypatch: pytest.MonkeyPatch) -> UPath:
    """The root of an empty bucket, reached by what this process's environment says."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", shared_gcs().url)
    # The kind of a bucket is asked over gRPC, which this server does not speak.
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
    root = path_at(f"gs://test-{uuid.uuid4().hex[:16]}")
    root.fs.mkdir(root.path.strip("/"))
    return root
