"""A process that writes to S3 is killed at any instant: every object is whole, and one that was there stays."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from servers.s3_server import S3Server
from upath import UPath

from resources.storage.atomic import write_atomically
from resources.storage.listing import list_folder

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("PROMPTORY_STORAGE_KILLS", "6"))

# Each object says at its beginning how long it is and what its digest is.
WRITER = """
import hashlib, os, sys
from resources.storage.atomic import write_atomically
from resources.storage.location import path_at

folder = path_at(sys.argv[1])
write_atomically(folder.parent / "warm", lambda stream: stream.write(b"x"))  # what comes first takes longest
print("ready", flush=True)
while True:
    for name in ("a", "b", "c"):
        body = os.urandom(int.from_bytes(os.urandom(3)) % 6_000_000)
        head = f"{len(body):09d}{hashlib.sha256(body).hexdigest()}".encode()
        def write(stream):
            for start in range(0, len(head + body), 100_000):
                stream.write((head + body)[start : start + 100_000])
        write_atomically(folder / name, write)
"""
HEAD = 9 + 64


def test_kills_at_any_time_leave_whole_objects(s3_server: S3Server, s3_root: UPath) -> None:
    rng = random.Random(20261126)
    folder = s3_root / "folder"
    there: set[str] = set()
    for _ in range(KILLS):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE)
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(rng.uniform(0.3, 1.2))  # a real process is killed in real time
        writer.send_signal(signal.SIGKILL)
        writer.communicate()
        found = {entry.name for entry in list_folder(folder)}
        assert there <= found <= {"a", "b", "c"}
        there = found
        for name in found:
            content = (folder / name).read_bytes()
            head, body = content[:HEAD].decode(), content[HEAD:]
            assert (int(head[:9]), head[9:]) == (len(body), hashlib.sha256(body).hexdigest())
    assert there


def test_a_large_file_is_uploaded_in_parts_and_whole(s3_server: S3Server, s3_root: UPath) -> None:
    piece = os.urandom(1_000_000)
    before = s3_server.counts()
    write_atomically(s3_root / "large.bin", lambda stream: [stream.write(piece) for _ in range(120)])
    assert s3_server.since(before)["UploadPart"] > 1
    digest = hashlib.sha256()
    with (s3_root / "large.bin").open("rb") as stream:
        while part := stream.read(1 << 20):
            digest.update(part)
    assert digest.hexdigest() == hashlib.sha256(piece * 120).hexdigest()
