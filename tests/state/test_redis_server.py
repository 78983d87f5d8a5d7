"""The Redis server itself: absent, restarted, emptied, of another format; and what is asked of it in one go."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import struct
from unittest import mock

import pytest
from servers.valkey import ValkeyServer, shared_valkey

from domain.errors import ConfigurationError, StateUnavailableError
from resources.llm.state import open_state_store
from resources.llm.state.protocol import (
    HOLD,
    Admitted,
    BreakerChange,
    CacheFollow,
    CacheHit,
    CacheLead,
    Intent,
    ScopeState,
    Settlement,
    StateStore,
    StoreConfig,
)
from resources.llm.state.redis import RedisStateStore
from resources.llm.state.redis_address import parse_redis_url
from resources.llm.state.redis_encoding import MOST_NANO_USD
from resources.llm.state.redis_lane import MOST_PER_PIPELINE

CONFIG = StoreConfig({"org": 1000})


def make_intent(attempt_id: str = "t1", reserve: int = 100, owner: str = "a") -> Intent:
    return Intent(attempt_id, "m", ("org",), reserve, 1, owner, "{}")


def settled(attempt_id: str, cost: int = 50) -> Settlement:
    return Settlement(attempt_id, "settled", cost, None, "success", "{}")


async def opened(url: str, owner: str = "a") -> StateStore:
    store = open_state_store(url)
    await store.open(CONFIG, owner, 0)
    return store


def commands_run(command: str) -> int:
    found = re.search(rf"cmdstat_{command}:calls=(\d+)".encode(), shared_valkey().command("INFO", "commandstats"))
    return int(found[1]) if found else 0


async def test_scripts_that_the_server_forgot_are_sent_again(redis_url):
    store = await opened(redis_url)
    for number in range(3):
        assert shared_valkey().command("SCRIPT", "FLUSH") == b"+OK\r\n"
        admitted = await asyncio.gather(*(store.admit(make_intent(f"{number}-{n}", 10), 0) for n in range(20)))
        assert admitted == [Admitted()] * 20
        shared_valkey().command("SCRIPT", "FLUSH")
        await asyncio.gather(*(store.settle(settled(f"{number}-{n}", 3), 0) for n in range(20)))
    assert await store.scopes() == [ScopeState("org", 1000, 180, 0, 0, frozen=False)]
    await store.close("a", 0)


async def test_admission_and_settlement_are_one_round_trip_each(redis_url):
    store = await opened(redis_url)
    await store.admit(make_intent("warm"), 0)
    await store.settle(settled("warm"), 0)
    before = commands_run("evalsha"), commands_run("eval")
    await store.admit(make_intent(), 0)
    await store.settle(settled("t1"), 0)
    assert (commands_run("evalsha"), commands_run("eval")) == (before[0] + 2, before[1])
    await store.close("a", 0)


async def test_what_is_asked_at_the_same_time_shares_a_pipeline(redis_url):
    from redis.asyncio.client import Pipeline

    store = await opened(redis_url)
    with mock.patch.object(Pipeline, "execute", autospec=True, side_effect=Pipeline.execute) as execute:
        verdicts = await asyncio.gather(*(store.admit(make_intent(f"t{n}", 1), 0) for n in range(100)))
    assert verdicts == [Admitted()] * 100
    assert execute.call_count <= 100 // MOST_PER_PIPELINE + 2
    await store.close("a", 0)


async def test_a_caller_who_leaves_does_not_stop_the_others(redis_url):
    store = await opened(redis_url)
    callers = [asyncio.create_task(store.admit(make_intent(f"t{n}", 1), 0)) for n in range(10)]
    await asyncio.sleep(0)
    callers[0].cancel()
    done = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(done[0], asyncio.CancelledError)
    assert done[1:] == [Admitted()] * 9
    await store.close("a", 0)


async def test_a_restart_that_keeps_the_data_is_not_noticed(valkey_server: ValkeyServer):
    store = await opened(valkey_server.url())
    assert await store.admit(make_intent("t1"), 0) == Admitted()
    valkey_server.stop()
    valkey_server.start()
    await store.settle(settled("t1"), 0)
    assert await store.admit(make_intent("t2"), 0) == Admitted()
    assert await store.scopes() == [ScopeState("org", 1000, 50, 0, 100, frozen=False)]
    await store.close("a", 0)


async def test_while_the_server_is_away_nothing_is_admitted_and_it_comes_back_by_itself(valkey_server: ValkeyServer):
    store = await opened(valkey_server.url())
    await store.cache_lookup("led", "a", 0)
    valkey_server.stop()
    for step in (
        store.admit(make_intent(), 0),
        store.cache_lookup("k", "a", 0),
        store.cache_fill("led", b"v", 1, 0),
        store.renew("a", 0),
        store.scopes(),
    ):
        with pytest.raises(StateUnavailableError, match=r"\[state\].*cannot be used.*Mend: .*`state` setting"):
            await step
    valkey_server.start()
    assert await store.admit(make_intent(), 0) == Admitted()
    await store.close("a", 0)


async def test_an_absent_server(forgetful_server: ValkeyServer):
    store = open_state_store(forgetful_server.url())
    forgetful_server.stop()
    with pytest.raises(StateUnavailableError, match="cannot be used"):
        await store.open(CONFIG, "a", 0)
    with pytest.raises(StateUnavailableError, match="not open"):
        await store.admit(make_intent(), 0)
    await store.close("a", 0)


async def test_a_server_that_lost_its_data_admits_nothing_until_it_is_opened_again(forgetful_server: ValkeyServer):
    url = forgetful_server.url("mine")
    store, other = await opened(url), await opened(url, "b")
    assert await store.admit(make_intent(), 0) == Admitted()
    forgetful_server.stop()
    forgetful_server.start()
    for step in (store.admit(make_intent("t2"), 0), store.settle(settled("t1"), 0), store.renew("a", 0)):
        with pytest.raises(StateUnavailableError, match="lost its data"):
            await step
    await store.open(CONFIG, "a", 1)
    assert await store.admit(make_intent("t3", 1001), 1) != Admitted()
    assert await store.admit(make_intent("t5", 1000), 1) == Admitted()
    # The other process knows other data still: its caps may not be on the server.
    with pytest.raises(StateUnavailableError, match="lost its data"):
        await other.admit(make_intent("t6", owner="b"), 1)
    await other.open(CONFIG, "b", 1)
    assert await other.admit(make_intent("t6", owner="b"), 1) != Admitted()
    await store.close("a", 1)
    await other.close("b", 1)


async def test_what_a_process_has_under_way_is_held_anew_once_and_settled_after_that(forgetful_server: ValkeyServer):
    store = await opened(forgetful_server.url("mine"))
    ended, under_way = make_intent("ended"), make_intent("under way", 300)
    hold = Intent("job-1", "batch:m", ("org",), 50, 0, f"{HOLD}1", "")
    for intent in (ended, under_way, hold):
        assert await store.admit(intent, 0) == Admitted()
    await store.settle(settled("ended"), 0)
    await store.reclaim()
    forgetful_server.command("FLUSHALL")
    await store.open(CONFIG, "a", 1)
    with pytest.raises(StateUnavailableError, match="lost its data"):
        await store.settle(settled("under way"), 1)
    await store.rebuild([("org", 100, 0)], [hold])
    for _ in range(2):
        await store.reclaim()
        (scope,) = await store.scopes()
        assert (scope.settled_nano_usd, scope.ambiguous_nano_usd, scope.reserved_nano_usd) == (100, 0, 350)
    for _ in range(2):
        await store.settle(settled("under way"), 2)
        (scope,) = await store.scopes()
        assert (scope.settled_nano_usd, scope.ambiguous_nano_usd, scope.reserved_nano_usd) == (150, 0, 50)
        assert [attempt_id for attempt_id, _ in await store.take_outbox(10)] == ["under way"]
    await store.close("a", 2)


async def test_state_of_another_format_is_left_alone(redis_url):
    namespace = redis_url.partition("namespace=")[2]
    shared_valkey().command("SET", f"{{{namespace}}}:epoch", "99-x")
    with pytest.raises(StateUnavailableError, match=r"format 99.*namespace"):
        await opened(redis_url)


class CuttingProxy:
    """Passes on what a client sends, and cuts the connection in place of the answers it is told to lose."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.lose = 0
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers += [writer, server_writer]

        async def answers() -> None:
            while data := await server_reader.read(65_536):
                if self.lose and not data.startswith((b"+OK", b"+PONG")):
                    self.lose -= 1
                    break
                writer.write(data)
            writer.close()
            server_writer.close()

        answering = asyncio.create_task(answers())
        while data := await reader.read(65_536):
            server_writer.write(data)
        server_writer.close()
        await answering


@pytest.fixture
async def proxied(redis_url):
    """A store behind a proxy that can lose answers, and one that speaks to the server itself."""
    port = parse_redis_url(redis_url).place.rpartition(":")[2]
    proxy = CuttingProxy(int(port))
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    near = open_state_store(redis_url.replace(port, str(server.sockets[0].getsockname()[1])))
    far = open_state_store(redis_url)
    for store, owner in ((near, "a"), (far, "b")):
        await store.open(StoreConfig({"org": 1000}, lease_s=15), owner, 0)
        await store.admit(Intent(f"warm-{owner}", "w", (), 0, 1, owner, "{}"), 0)
        await store.settle(settled(f"warm-{owner}", 0), 0)
        await store.cache_lookup(f"warm-{owner}", owner, 0)
    yield near, far, proxy
    await near.close("a", 0)
    await far.close("b", 0)
    server.close()
    for writer in proxy.writers:
        writer.close()
    await asyncio.sleep(0.01)


async def test_a_lost_answer_is_asked_for_again_and_nothing_happens_twice(proxied):
    near, far, proxy = proxied
    proxy.lose = 1
    assert await near.admit(make_intent(), 0) == Admitted()
    proxy.lose = 1
    await near.settle(settled("t1"), 0)
    assert await far.scopes() == [ScopeState("org", 1000, 50, 0, 0, frozen=False)]
    proxy.lose = 1
    assert await near.cache_lookup("k", "a", 0) == CacheLead()
    assert isinstance(await near.cache_lookup("k", "a", 0), CacheFollow)
    assert proxy.lose == 0


async def test_an_admission_nobody_learnt_of_gives_its_reserve_and_probe_back(proxied):
    near, far, proxy = proxied
    assert await far.set_breaker("m", "open", -60) == BreakerChange("m", "closed", "open")
    proxy.lose = 2
    with pytest.raises(StateUnavailableError):
        await near.admit(make_intent(), 0)
    assert await far.scopes() == [ScopeState("org", 1000, 0, 0, 100, frozen=False)]
    await near.renew("a", 1)
    assert await far.scopes() == [ScopeState("org", 1000, 0, 0, 0, frozen=False)]
    assert await far.admit(make_intent("t2", owner="b"), 1) == Admitted(probe=True)


async def test_an_admission_asked_again_after_a_failure_is_kept(proxied):
    near, far, proxy = proxied
    proxy.lose = 2
    with pytest.raises(StateUnavailableError):
        await near.admit(make_intent(), 0)
    assert await near.admit(make_intent(), 0) == Admitted()
    await near.renew("a", 1)
    assert await far.scopes() == [ScopeState("org", 1000, 0, 0, 100, frozen=False)]


async def test_a_lead_nobody_learnt_of_runs_out(proxied):
    near, far, proxy = proxied
    proxy.lose = 2
    with pytest.raises(StateUnavailableError):
        await near.cache_lookup("k", "a", 0)
    for now in (5, 10, 14):
        await near.renew("a", now)
        assert isinstance(await far.cache_lookup("k", "b", now), CacheFollow)
    assert await far.cache_lookup("k", "b", 15) == CacheLead()
    await far.cache_fill("k", b"v", 100, 15)
    assert await near.cache_lookup("k", "a", 16) == CacheHit(b"v")


async def test_amounts_beyond_exact_comparison_are_refused_and_the_largest_is_exact(redis_url):
    store = open_state_store(redis_url)
    with pytest.raises(ConfigurationError, match=r"budgets\.org.*9,007,199 USD"):
        await store.open(StoreConfig({"org": MOST_NANO_USD + 1}), "a", 0)
    await store.open(StoreConfig({"org": MOST_NANO_USD}), "a", 0)
    with pytest.raises(ConfigurationError, match="exactly"):
        await store.set_cap("org", 2**60)
    with pytest.raises(ConfigurationError, match="exactly"):
        await store.admit(make_intent(reserve=2**53), 0)
    await store.rebuild([("org", MOST_NANO_USD - 1, 0)])
    assert await store.admit(make_intent("t1", 2), 0) != Admitted()
    assert await store.admit(make_intent("t2", 1), 0) == Admitted()
    await store.close("a", 0)


async def test_namespaces_do_not_meet(redis_url):
    one, other = await opened(redis_url), await opened(shared_valkey().url())
    await one.admit(make_intent(), 0)
    assert await other.scopes() == []
    await one.close("a", 0)
    await other.close("a", 0)


async def test_all_keys_carry_one_hash_tag(valkey_server: ValkeyServer):
    store = await opened(valkey_server.url("team-a"))
    await store.admit(make_intent(), 0)
    await store.cache_lookup("led", "a", 0)
    await store.cache_fill("k", b"v", 10, 0)
    await store.set_breaker("m", "open", 0)
    keys = re.findall(rb"\$\d+\r\n([^\r]+)\r\n", valkey_server.command("KEYS", "*"))
    assert len(keys) > 8
    assert all(key.startswith(b"{team-a}:") for key in keys)
    await store.close("a", 0)


def test_a_store_belongs_to_the_event_loop_that_opened_it(redis_url):
    store = open_state_store(redis_url)
    with asyncio.Runner() as first, asyncio.Runner() as second:
        first.run(store.open(CONFIG, "a", 0))
        with pytest.raises(StateUnavailableError, match="not open"):
            second.run(store.admit(make_intent(), 0))
        assert first.run(store.admit(make_intent(), 0)) == Admitted()
        first.run(store.close("a", 0))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_a_forked_child_must_open_the_store_for_itself(redis_url):
    store = open_state_store(redis_url)
    with asyncio.Runner() as runner:
        runner.run(store.open(CONFIG, "a", 0))
        child = os.fork()
        if child == 0:
            os._exit(asyncio.Runner().run(_work_after_fork(store)))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        (scope,) = runner.run(store.scopes())
        assert scope.reserved_nano_usd == 100
        runner.run(store.close("a", 0))


async def _work_after_fork(store: StateStore) -> int:
    try:
        await store.admit(make_intent(), 0)
    except StateUnavailableError:
        await store.open(CONFIG, "b", 0)
        return 0 if await store.admit(make_intent(owner="b"), 0) == Admitted() else 2
    return 1


async def test_a_server_that_refuses_the_password(valkey_server: ValkeyServer):
    url = valkey_server.url().replace("redis://", "redis://:secret-word@")
    with pytest.raises(StateUnavailableError, match="Mend:") as caught:
        await opened(url)
    assert "secret-word" not in str(caught.value)


async def test_a_server_that_never_answers_is_given_up(redis_url):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0?socket_timeout=0.05"
        with pytest.raises(StateUnavailableError, match="cannot be used"):
            await opened(url)


async def test_something_that_is_no_redis_server():
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(struct.pack("!I", 7) + b"HTTP/1.1 400\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    with pytest.raises(StateUnavailableError, match="cannot be used"):
        await opened(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
    server.close()


def test_a_url_names_server_and_namespace():
    plain = parse_redis_url("redis://cache.example/3")
    assert (plain.url, plain.place, plain.root) == ("redis://cache.example/3", "cache.example:6379", b"{promptory}")
    full = parse_redis_url("rediss://u:secret@h:7000/1?namespace=team-a&socket_timeout=2")
    assert (full.url, full.root) == ("rediss://u:secret@h:7000/1", b"{team-a}")
    assert (full.answer_timeout_s, parse_redis_url("redis://h").answer_timeout_s) == (2.0, 5.0)
    assert isinstance(open_state_store("rediss://h"), RedisStateStore)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis:///0", "no host"),
        ("redis://:secret@h:port/0", "no usable host"),
        ("redis://:secret@h/db", "not a number"),
        ("redis://:secret@h/0?namespace=a%7Bb", "namespace"),
        ("redis://:secret@h/0?retries=5", "'retries'; known: namespace"),
        ("redis://:secret@h/0?socket_timeout=0", "socket_timeout"),
        ("redis://:secret@h/0?socket_timeout=soon", "socket_timeout"),
    ],
)
def test_urls_that_are_not_usable_are_refused_without_repeating_a_password(url, text):
    with pytest.raises(ConfigurationError, match=text) as caught:
        open_state_store(url)
    assert "secret" not in str(caught.value)
    assert caught.value.field == "state"
