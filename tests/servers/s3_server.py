"""An S3 server on loopback: moto in a process of its own, one per test process, a bucket of its own per test."""

from __future__ import annotations

import atexit
import functools
import json
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
from servers.object_store import ObjectStore
from upath import UPath

from resources.storage.location import path_at


class S3Server(ObjectStore):
    """The server's process and what tests ask of it beside S3."""

    def __init__(self) -> None:
        super().__init__("s3_process.py")

    @property
    def variables(self) -> dict[str, str]:
        """The environment that reaches it, as people set it for MinIO."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_MAX_ATTEMPTS": "1",
        }

    def counts(self) -> dict[str, int]:
        """Requests so far, by operation."""
        return self._ask("counts")

    def since(self, before: dict[str, int]) -> dict[str, int]:
        """Requests after `before` was counted."""
        return {name: more for name, count in self.counts().items() if (more := count - before.get(name, 0))}

    def fill(self, bucket: str, name: str, count: int, text: str) -> None:
        """Put `count` objects into a bucket at once; `{}` in name and text is the number."""
        self._ask("fill", bucket=bucket, name=name, count=count, text=text)

    def hold_uploads(self) -> None:
        """Let uploads arrive and wait there."""
        self._ask("hold")

    def release_uploads(self) -> None:
        """Let them go on."""
        self._ask("release")

    def refuse(self, status: int) -> None:
        """Answer everything with this status; 0 ends it."""
        self._ask("refuse", status=status)

    def _ask(self, what: str, **arguments: Any) -> Any:
        with urlopen(f"{self.url}/_tests/{what}?{urlencode(arguments)}", timeout=60) as answer:
            return json.load(answer)


@functools.cache
def shared_s3() -> S3Server:
    """The one server of this test process, ended with it."""
    server = S3Server()
    atexit.register(server.stop)
    return server


@pytest.fixture
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """The server, reached by what this process's environment says."""
    server = shared_s3()
    for name, value in server.variables.items():
        monkeypatch.setenv(name, value)
    yield server
    server.release_uploads()
    server.refuse(0)


@pytest.fixture
def s3_root(s3_server: S3Server) -> UPath:
    """The root of an empty bucket."""
    root = path_at(f"s3://test-{uuid.uuid4().hex[:16]}")
    root.fs.mkdir(root.path.strip("/"))
    return root
