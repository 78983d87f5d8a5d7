"""The state file itself: missing, damaged, locked, replaced, shared by threads and across forks."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from domain.errors import ConfigurationError, StateUnavailableError
from resources.llm.state import open_state_store, sqlite_file
from resources.llm.state.memory import MemoryStateStore
from resources.llm.state.process_mark import ProcessMark, is_gone, this_process
from resources.llm.state.protocol import Admitted, CacheFollow, CacheLead, Intent, Settlement, StoreConfig
from resources.llm.state.sqlite import SqliteStateStore

CONFIG = StoreConfig({"org": 1000})


def make_intent(attempt_id: str = "t1", reserve: int = 100) -> Intent:
    return Intent(attempt_id, "m", ("org",), reserve, 1, "a", "{}")


async def test_what_was_booked_is_there_when_the_file_is_opened_again(tmp_path):
    for expected in (100, 200):
        store = SqliteStateStore(tmp_path / "s.db")
        await store.open(CONFIG, "a", 0)
        await store.admit(make_intent(f"t{expected}"), 0)
        await store.settle(Settlement(f"t{expected}", "settled", 100, None, "success", "{}"), 0)
        (scope,) = await store.scopes()
        assert scope.settled_nano_usd == expected
        await store.close("a", 0)
    assert [path.name for path in tmp_path.iterdir()] == ["s.db"]


async def test_a_missing_folder(tmp_path):
    with pytest.raises(StateUnavailableError, match="folder exists"):
        await SqliteStateStore(tmp_path / "nowhere" / "s.db").open(CONFIG, "a", 0)


async def test_a_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(StateUnavailableError, match="Mend:"):
        await SqliteStateStore(tmp_path).open(CONFIG, "a", 0)


async def test_a_file_that_is_no_state_file(tmp_path):
    path = tmp_path / "s.db"
    path.write_bytes(b"not a database, " * 100)
    with pytest.raises(StateUnavailableError, match="not a database") as caught:
        await SqliteStateStore(path).open(CONFIG, "a", 0)
    assert caught.value.file == str(path)
    assert path.read_bytes().startswith(b"not a database")


async def test_a_damaged_file(tmp_path):
    path = tmp_path / "s.db"
    store = SqliteStateStore(path)
    await store.open(CONFIG, "a", 0)
    await store.close("a", 0)
    content = bytearray(path.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(StateUnavailableError, match="Mend:"):
        await SqliteStateStore(path).open(CONFIG, "a", 0)


async def test_a_file_of_another_format(tmp_path):
    path = tmp_path / "s.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StateUnavailableError, match="format 99"):
        await SqliteStateStore(path).open(CONFIG, "a", 0)


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_removed_under_way_stops_all_spending(tmp_path, replaced):
    path = tmp_path / "s.db"
    store = SqliteStateStore(path)
    await store.open(CONFIG, "a", 0)
    path.rename(tmp_path / "moved.db")
    if replaced:
        path.write_bytes(b"")
    with pytest.raises(StateUnavailableError, match="replaced" if replaced else "removed"):
        await store.admit(make_intent(), 0)
    with pytest.raises(StateUnavailableError):
        await store.close("a", 0)
    await store.close("a", 0)


async def test_a_store_that_is_not_open(tmp_path):
    store = SqliteStateStore(tmp_path / "s.db")
    with pytest.raises(StateUnavailableError, match="not open"):
        await store.admit(make_intent(), 0)
    await store.close("a", 0)


async def test_while_another_process_holds_the_file_the_event_loop_sleeps_and_then_succeeds(tmp_path):
    path = tmp_path / "s.db"
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 5:
            other.execute("COMMIT")

    store = SqliteStateStore(path, sleep)
    await store.open(CONFIG, "a", 0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert await store.admit(make_intent(), 0) == Admitted()
    assert len(slept) == 5
    other.close()
    await store.close("a", 0)


async def test_looking_at_many_windows_takes_one_query_and_waits_for_no_writer(tmp_path):
    async def no_sleep(_seconds: float) -> None:
        raise AssertionError("looking waited for the file")

    store = SqliteStateStore(tmp_path / "state.db", sleep=no_sleep)
    await store.open(StoreConfig(caps_nano_usd={"run:1": 1000}), "a", 0.0)
    await store.rebuild([(f"run:{number}", number, 0) for number in range(100)])
    queries: list[str] = []
    connection = store._file._connection
    assert connection is not None
    connection.set_trace_callback(queries.append)
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert len(await store.scopes()) == 100
        assert [each.scope for each in await store.capped_scopes()] == ["run:1"]
        other.execute("ROLLBACK")
    connection.set_trace_callback(None)
    assert len(queries) == 2
    await store.close("a", 1.0)


async def test_a_file_locked_for_ten_seconds_is_unavailable(tmp_path):
    path = tmp_path / "s.db"
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    store = SqliteStateStore(path, sleep)
    await store.open(CONFIG, "a", 0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnavailableError, match="locked"):
        await store.admit(make_intent(), 0)
    assert 10 <= sum(slept) < 10.1
    other.close()
    await store.close("a", 0)


@pytest.mark.parametrize(
    ("ending", "arguments"), [("cache_abandon", ("given up", "a")), ("cache_fill", ("given up", b"answer", 9, 0))]
)
async def test_a_lead_that_could_not_be_ended_passes_on_with_its_lease(tmp_path, monkeypatch, ending, arguments):
    monkeypatch.setattr(sqlite_file, "GIVE_UP_AFTER_S", 0.01)
    path = tmp_path / "s.db"
    store = SqliteStateStore(path)
    await store.open(StoreConfig(lease_s=15), "a", 0)
    for key in ("given up", "kept"):
        assert await store.cache_lookup(key, "a", 0) == CacheLead()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StateUnavailableError, match="locked"):
        await getattr(store, ending)(*arguments)
    other.execute("COMMIT")
    await store.renew("a", 10)
    assert isinstance(await store.cache_lookup("given up", "b", 14.9), CacheFollow)
    assert await store.cache_lookup("given up", "b", 15) == CacheLead()
    assert isinstance(await store.cache_lookup("kept", "b", 24.9), CacheFollow)
    other.close()
    await store.close("a", 25)


async def test_a_step_that_fails_leaves_nothing_behind(tmp_path):
    store = SqliteStateStore(tmp_path / "s.db")
    await store.open(CONFIG, "a", 0)
    broken = Intent("t1", "m", ("org",), 100, 1, "b", "not JSON")
    await store.admit(broken, 0)
    with pytest.raises(ValueError, match="Expecting value"):
        await store.renew("a", 1000)
    (scope,) = await store.scopes()
    assert (scope.reserved_nano_usd, scope.ambiguous_nano_usd) == (100, 0)
    assert await store.admit(make_intent("t2"), 1000) == Admitted()
    await store.close("a", 1000)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
def test_threads_with_their_own_event_loops_share_a_store(tmp_path, kind):
    store = MemoryStateStore() if kind == "memory" else SqliteStateStore(tmp_path / "s.db")
    asyncio.run(store.open(StoreConfig({"org": 5000}), "a", 0))
    admitted: list[str] = []

    async def spend(name: str) -> None:
        for number in range(50):
            intent = make_intent(f"{name}-{number}")
            if await store.admit(intent, 0) == Admitted():
                admitted.append(intent.attempt_id)
                await store.settle(Settlement(intent.attempt_id, "settled", 100, None, "success", "{}"), 0)

    threads = [threading.Thread(target=lambda n=n: asyncio.run(spend(f"w{n}"))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (scope,) = asyncio.run(store.scopes())
    assert scope.settled_nano_usd == 100 * len(admitted) == 5000
    asyncio.run(store.close("a", 0))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_forked_child_must_open_the_file_for_itself(tmp_path):
    store = SqliteStateStore(tmp_path / "s.db")
    asyncio.run(store.open(CONFIG, "a", 0))
    child = os.fork()
    if child == 0:
        os._exit(_work_after_fork(store))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    (scope,) = asyncio.run(store.scopes())
    assert scope.reserved_nano_usd == 100
    asyncio.run(store.close("a", 0))


def _work_after_fork(store: SqliteStateStore) -> int:
    try:
        asyncio.run(store.admit(make_intent(), 0))
    except StateUnavailableError:
        asyncio.run(store.open(CONFIG, "b", 0))
        return 0 if asyncio.run(store.admit(make_intent(), 0)) == Admitted() else 2
    return 1


def test_processes_are_told_from_later_ones_with_the_same_id():
    here = this_process()
    assert not is_gone(here, here)
    assert not is_gone(ProcessMark("elsewhere", here.pid, 1), here)
    if Path("/proc/self/stat").exists():
        assert is_gone(ProcessMark(here.machine, here.pid, here.started + 1), here)


def test_a_url_names_the_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert isinstance(open_state_store("memory"), MemoryStateStore)
    relative = open_state_store("sqlite:///relative.db")
    asyncio.run(relative.open(CONFIG, "a", 0))
    asyncio.run(relative.close("a", 0))
    absolute = open_state_store(f"sqlite:///{tmp_path}/absolute.db")
    asyncio.run(absolute.open(CONFIG, "a", 0))
    asyncio.run(absolute.close("a", 0))
    assert {path.name for path in tmp_path.iterdir()} == {"relative.db", "absolute.db"}


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("postgresql://me:secret@host/db", "names no state store"),
        ("sqlite:///", "names no state store"),
        ("sqlite:///:memory:", "names no state store"),
        ("sqlite:///s.db?mode=ro", "names no state store"),
        ("", "names no state store"),
    ],
)
def test_other_urls_are_refused_without_repeating_a_password(url, text):
    with pytest.raises(ConfigurationError, match=text) as caught:
        open_state_store(url)
    assert "secret" not in str(caught.value)
    assert "sqlite:///relative/path.db" in str(caught.value.mend)
