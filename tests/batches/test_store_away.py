"""The object store goes away in the middle of a batch: what is paid for is kept, and nothing is refused for it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from batches.conftest import NOW, Floor
from servers.s3_server import S3Server
from upath import UPath

from domain.errors import StateUnavailableError
from resources.batch_inference.drain import Drain
from resources.batch_inference.intake import Intake, Wish
from resources.batch_inference.sources import FileSource
from resources.database.repositories import batch_files, batches
from resources.storage.atomic import write_atomically


@dataclass
class Away:
    """A store that is refused once the provider was asked so often."""

    server: S3Server
    after: int
    asked: int = 0

    def count(self) -> None:
        self.asked += 1
        if self.asked == self.after:
            self.server.refuse(503)


@pytest.fixture
def remote(floor: Floor, s3_root: UPath, monkeypatch: pytest.MonkeyPatch) -> Floor:
    """A floor whose storage root is in a bucket."""
    monkeypatch.setattr(type(floor), "root", property(lambda _self: s3_root / "storage"))
    return floor


def text(numbers: range) -> bytes:
    return ("crate,text\n" + "".join(f"c{one},Crate number {one}\n" for one in numbers)).encode()


def test_a_batch_goes_on_where_the_store_went_away(remote: Floor, s3_root: UPath, s3_server: S3Server) -> None:
    write_atomically(s3_root / "in.csv", lambda stream: stream.write(text(range(60))))
    source = FileSource(s3_root / "in.csv")
    batch = Intake(remote.database, remote.root).take_in(remote.task, source, NOW, Wish(remote.options)).record
    away, behaviour = Away(s3_server, 25), remote.server.behaviour

    def answer(body: dict[str, Any]) -> Any:
        away.count()
        return behaviour(body)

    remote.server.behaviour = answer
    with pytest.raises(StateUnavailableError, match="storage cannot be used"):
        remote.run(batch.id)
    with remote.database.session(read_only=True) as session:
        assert batches.get(session, batch.id).state == "paused"
    s3_server.refuse(0)
    assert remote.run(batch.id).state == "done"
    assert sorted(remote.asked()) == list(range(60))
    assert [row["status"] for row in remote.results(batch.id)] == ["ok"] * 60


def test_no_file_is_refused_because_the_store_was_away(remote: Floor, s3_root: UPath, s3_server: S3Server) -> None:
    folder = s3_root / "landed"
    for name in ("a.csv", "b.csv"):
        write_atomically(folder / "crates" / name, lambda stream: stream.write(text(range(5))))

    async def drain(*, refused: bool) -> Any:
        async with remote.worker() as worker:
            drain = Drain(remote.database, remote.root, folder, remote.task, worker, lambda: datetime.now(UTC))
            if refused:
                files = await asyncio.to_thread(drain._new_files)
                s3_server.refuse(503)
                drain._new_files = lambda: files  # type: ignore[method-assign] - it went away after it was listed
            return await drain.run()

    with pytest.raises(StateUnavailableError):
        asyncio.run(drain(refused=True))
    with remote.database.session(read_only=True) as session:
        assert batch_files.stamps(session, "crates") == {}
    s3_server.refuse(0)
    drained = asyncio.run(drain(refused=False))
    assert (drained.taken_in, drained.delivered_before, drained.refused) == (1, 1, [])
