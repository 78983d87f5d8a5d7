"""Commands that operate the execution core: budgets, prices, cache, breakers, load, reserves, health."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import pytest
from servers.openai_server import Fault, OpenAIServer

from domain.pricing import MAX_TOKENS
from orchestration.environments import Environment
from resources.llm import CallContext, Message, Request, open_client


@pytest.fixture
def asked(workshop):
    """A workshop in which a load of 12 requests was sent."""
    workshop.write_task()
    outcome = workshop.run("load", "--requests", "12", "--rate", "500", "--json")
    assert outcome.code == 0, outcome.err
    return workshop


def settings(workshop, text: str) -> None:
    (workshop.root / "promptory.yaml").write_text(text, encoding="utf-8")


def budgets(workshop, *options: str) -> dict[str, Any]:
    return {one["scope"]: one for one in workshop.run("budget", "list", *options, "--json").value["budgets"]}


def test_a_load_of_a_task_s_prompt_is_answered_charged_and_shown(workshop):
    workshop.write_task()

    outcome = workshop.run("load", "--requests", "30", "--rate", "300", "--high-share", "0.5", "--json")

    assert outcome.code == 0, outcome.err
    value = outcome.value
    assert (value["task"], value["model"], value["sent"]) == ("tickets", "offline/nearest", 30)
    assert (value["ok"], value["fallbacks"], value["failures"]) == (30, {}, {})
    answers = {priority: found["answers"] for priority, found in value["latency_s"].items()}
    assert answers["high"] > 3
    assert answers["normal"] + answers["high"] == 30
    assert value["latency_s"]["normal"]["p50"] <= value["latency_s"]["normal"]["p99"]
    assert value["health"]["overall"] == "healthy"
    spent = workshop.run("cost", "--by", "purpose", "--json").value
    assert [(line["key"], line["spent_usd"]) for line in spent["lines"]] == [("load", value["cost_usd"])]
    assert budgets(workshop)["day"]["spent_usd"] == value["cost_usd"]
    assert f"run:load-{value['load_id']}" not in budgets(workshop)
    assert budgets(workshop, "--all")[f"run:load-{value['load_id']}"]["cap_usd"] is None


def test_a_load_stops_paying_at_its_cap(workshop):
    workshop.write_task()

    outcome = workshop.run("load", "--requests", "20", "--rate", "500", "--fresh", "--budget-usd", "0.0001", "--json")

    value = outcome.value
    assert value["fallbacks"]["budget_exhausted"] + value["ok"] == 20
    assert value["ok"] < 20
    assert value["cost_nano_usd"] <= 100_000


def test_a_load_is_readable(workshop):
    workshop.write_task()

    shown = workshop.run("load", "--requests", "8", "--rate", "400")

    assert "8 of tickets to offline/nearest" in shown.out
    assert "p95" in shown.out
    assert "of at most $0.10" in shown.out


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--budget-usd", "lots"], "not an amount"),
        (["--budget-usd", "-1"], "not an amount"),
        (["--task", "nothing"], "nothing"),
        (["--model", "nowhere/model"], "nowhere"),
        (["--high-share", "2"], "high-share"),
    ],
)
def test_a_load_that_cannot_be_sent_is_one_clear_error(workshop, options, says):
    workshop.write_task()

    outcome = workshop.run("load", "--requests", "5", *options)

    assert outcome.code == 2
    assert says in outcome.err


def test_a_load_needs_a_task(workshop):
    outcome = workshop.run("load", "--requests", "5")

    assert outcome.code == 2
    assert "no task" in outcome.err


def test_caps_are_set_listed_and_lifted(asked):
    moved = asked.run("budget", "set", "org", "2.50", "--json")
    assert (moved.code, moved.value["before_usd"]) == (0, None)

    line = budgets(asked)["org"]
    assert line["cap_usd"] == "2.5"
    assert line["remaining_nano_usd"] == 2_500_000_000 - line["spent_nano_usd"]
    assert line["today_nano_usd"] == line["spent_nano_usd"] == line["mean_day_nano_usd"] > 0
    assert line["month_projection_nano_usd"] >= line["today_nano_usd"]
    shown = asked.run("budget", "list").out
    assert "Budgets (UTC)" in shown
    assert re.search(r"day:\d{4}-\d{2}-\d{2}", shown)
    assert "$2.50" in shown

    assert asked.run("budget", "unset", "org", "--json").value["before_usd"] == "2.5"
    assert budgets(asked)["org"]["cap_usd"] is None


@pytest.mark.parametrize("arguments", [("dya", "x"), ("task", "1"), ("day", "-1"), ("day", "NaN"), ("Day", "1")])
def test_a_cap_that_cannot_be_is_refused(workshop, arguments):
    outcome = workshop.run("budget", "set", "--", *arguments)

    assert outcome.code == 2
    assert "Error" in outcome.err


def test_a_cap_set_before_the_task_s_first_run_is_not_raised_by_its_file(workshop):
    workshop.write_task(lambda text: text + "budget: {total_usd: 3, run_usd: 1}\n")

    assert workshop.run("budget", "set", "task:tickets", "0.5", "--json").value["before_usd"] == "3"

    async def later_run() -> str:
        opened = Environment.read().core_settings().model_copy(update={"budgets": {"task:tickets": 3}})
        async with open_client(opened) as client:
            return str(next(one.cap_nano_usd for one in await client.budget_summary() if one.scope == "task:tickets"))

    assert asyncio.run(later_run()) == "500000000"


def test_only_a_frozen_window_is_unfrozen(workshop):
    assert "no window is" in workshop.run("budget", "unfreeze", "org").err
    with OpenAIServer() as server:
        server.fail_next(Fault(reported_usage={"prompt_tokens": 90_000, "completion_tokens": 1}))
        endpoints = {"openai": server.endpoint}
        prices = {"openai/small": {"input_per_million": 1, "output_per_million": 2}}
        settings(workshop, json.dumps({"endpoints": endpoints, "prices": prices, "budgets": {"org": 1}}))
        asyncio.run(one_call("openai/small", "org"))

    assert budgets(workshop)["org"]["frozen"]
    assert "frozen" in workshop.run("budget", "list").out
    assert "frozen are: org" in workshop.run("budget", "unfreeze", "day:2026-11-22").err
    assert workshop.run("budget", "unfreeze", "org").code == 0
    assert not budgets(workshop)["org"]["frozen"]
    (line,) = workshop.run("cost", "--reserves", "--json").value["lines"]
    assert (line["overruns"], line["highest_use"] > 1) == (1, True)


async def one_call(model: str, scope: str) -> None:
    async with open_client(Environment.read().core_settings()) as client:
        await client.complete(Request(model, (Message("user", "hello"),)), CallContext(scopes=(scope,)))


def test_prices_are_explained(workshop):
    settings(workshop, "prices: {openai/gpt-4o: {input_per_million: 1, output_per_million: 3, as_of: '2026-01-01'}}\n")

    value = workshop.run(
        "price", "openai/gpt-4o", "openai/gpt-4o-mini", "--input-tokens", "1000", "--output-tokens", "100", "--json"
    ).value

    own, packaged = value["prices"]
    assert (own["from"], own["as_of"], own["example_reserve_usd"]) == ("settings", "2026-01-01", "0.0013")
    assert (packaged["from"], packaged["input_per_million"]) == ("packaged table", "0.15")
    assert packaged["example_reserve_usd"] == "0.00021"
    shown = workshop.run("price", "openai/gpt-4o-mini", "offline/nearest").out
    assert "packaged table" in shown
    assert "OpenAI" in shown


def test_a_dearer_tier_of_long_requests_is_shown_and_reserved(workshop):
    tier = "{above_input_tokens: 1000, input_per_million: 10, output_per_million: 20}"
    settings(workshop, f"prices: {{vertex/b: {{input_per_million: 1, output_per_million: 2, long_context: {tier}}}}}\n")

    value = workshop.run("price", "vertex/b", "--input-tokens", "2000", "--output-tokens", "0", "--json").value

    assert value["prices"][0]["example_reserve_usd"] == "0.02"
    assert "above 1,000 tokens in" in workshop.run("price", "vertex/b").out


def test_an_unknown_price_says_what_to_write(workshop):
    outcome = workshop.run("price", "openai/gpt-4o-minni")

    assert outcome.code == 2
    assert "did you mean openai/gpt-4o-mini" in outcome.err
    assert "input_per_million" in outcome.err


@pytest.mark.parametrize("option", ["--input-tokens", "--output-tokens"])
def test_an_example_of_more_tokens_than_one_attempt_can_have_is_refused(workshop, option):
    outcome = workshop.run("price", "openai/gpt-4o-mini", option, str(MAX_TOKENS + 1))

    assert outcome.code == 2
    assert option in outcome.err
    assert workshop.run("price", "openai/gpt-4o-mini", option, str(MAX_TOKENS)).code == 0


def test_the_cache_is_shown_and_cleared(asked):
    stats = asked.run("cache", "stats", "--json").value

    assert (stats["entries"], stats["misses"]) == (12, 12)
    assert stats["ttl_s"] == 300
    again = asked.run("load", "--requests", "12", "--rate", "500", "--json").value
    assert (again["cached"], again["cost_nano_usd"]) == (12, 0)
    assert "hits" in asked.run("cache", "stats").out
    assert asked.run("cache", "clear", "--json").value == {"dropped": 12, "namespace": None}
    assert asked.run("cache", "stats", "--json").value["entries"] == 0


def test_a_namespace_of_the_cache_is_shown_and_cleared_by_itself(asked):
    settings(asked, "cache: {namespace: team_a}\n")
    asked.run("load", "--requests", "5", "--rate", "500")

    held = {name: asked.run("cache", "stats", *name, "--json").value for name in ((), ("--namespace", "team_a"))}
    assert [value["entries"] for value in held.values()] == [17, 5]
    assert held[()]["hits"] is not None
    assert held["--namespace", "team_a"]["hits"] is None
    assert "5" in asked.run("cache", "stats", "--namespace", "team_a").out
    assert asked.run("cache", "clear", "--namespace", "team_b", "--json").value["dropped"] == 0
    assert asked.run("cache", "clear", "--json").value == {"dropped": 5, "namespace": "team_a"}
    assert asked.run("cache", "clear", "--namespace", "", "--all").code == 2
    assert asked.run("cache", "clear", "--all", "--json").value == {"dropped": 12, "namespace": None}
    settings(asked, "cache: {namespace: 'team a'}\n")
    assert "[cache.namespace]" in asked.run("health").err


def test_breakers_are_listed_opened_and_closed(asked):
    assert asked.run("breaker", "open", "offline/nearest", "--json").value["before"] == "closed"
    assert asked.run("breaker", "list", "--json").value["models"][0]["breaker"] == "open"
    load = asked.run("load", "--requests", "3", "--rate", "300", "--fresh", "--json").value
    assert load["fallbacks"] == {"circuit_open": 3}
    assert load["health"]["overall"] == "degraded"

    assert asked.run("breaker", "close", "offline/nearest", "--json").value["before"] == "open"
    assert "closed" in asked.run("breaker", "list").out
    assert asked.run("breaker", "close", "nearest").code == 2


def test_reserves_stand_beside_bills(asked):
    (line,) = asked.run("cost", "--reserves", "--json").value["lines"]
    total = asked.run("cost", "--json").value["total"]

    assert (line["model"], line["attempts"], line["overruns"]) == ("offline/nearest", 12, 0)
    assert line["cost_nano_usd"] == total["spent_nano_usd"]
    assert line["reserved_nano_usd"] > line["cost_nano_usd"]
    assert 0 < line["lowest_use"] <= line["use"] <= line["highest_use"] <= 1
    assert line["input_tokens_per_attempt"] * 12 == total["input_tokens"]
    read, said = line["input_reserve"], line["output_reserve"]
    assert (read["billed"], read["worst_under"], said["worst_under"]) == (total["input_tokens"], 0, 0)
    assert 0 < read["use"] <= 1
    assert 0 < said["use"] <= 1
    assert "under-reserve" in " ".join(asked.run("cost", "--reserves").out.split())
    assert "offline/nearest" in asked.run("cost", "--reserves").out
    assert asked.run("cost", "--reserves", "--until", "2020-01-01", "--json").value["lines"] == []


def test_attempts_that_may_have_been_billed_are_listed_one_by_one(workshop):
    workshop.run("db", "upgrade")
    assert "was answered" in workshop.run("cost", "--ambiguous").out
    with OpenAIServer() as server:
        server.fail_next(Fault(cut="before_headers"))
        prices = {"openai/small": {"input_per_million": 1, "output_per_million": 2}}
        settings(workshop, json.dumps({"endpoints": {"openai": server.endpoint}, "prices": prices}))
        asyncio.run(one_call("openai/small", "task:tickets"))

    value = workshop.run("cost", "--ambiguous", "--json").value
    (one,) = value["attempts"]
    assert (one["model"], one["charge"], one["scopes"]) == ("openai/small", "ambiguous", ["task:tickets"])
    assert value["ambiguous_nano_usd"] == one["cost_nano_usd"] == one["reserved_nano_usd"] > 0
    shown = workshop.run("cost", "--ambiguous").out
    assert one["call_id"] in shown
    assert "tickets" in shown
    assert workshop.run("cost", "--ambiguous", "--until", "2020-01-01", "--json").value["attempts"] == []
    both = workshop.run("cost", "--ambiguous", "--reserves")
    assert (both.code, "two different lists" in both.err) == (2, True)


def test_health_reaches_the_endpoints_when_asked(workshop, monkeypatch):
    with OpenAIServer() as server:
        good = {"provider": "openai", "base_url": server.base_url, "api_key": server.api_key}
        settings(workshop, json.dumps({"endpoints": {"good": good}}))
        reached = workshop.run("health", "--check", "--json")
        bad = {**good, "api_key": "sk-wrong-40417"}
        settings(workshop, json.dumps({"endpoints": {"bad": bad, "good": good}}))
        refused = workshop.run("health", "--check", "--json")
        shown = workshop.run("health", "--check")
        settings(workshop, json.dumps({"endpoints": {"good": good}}))
        monkeypatch.setenv("PROMPTORY_LANDING", "floppy://landing")
        lost = workshop.run("health", "--check", "--json")

    assert (reached.code, reached.value["endpoints"]) == (0, {"good": None})
    assert (refused.code, refused.value["endpoints"]["good"]) == (1, None)
    assert refused.value["endpoints"]["bad"]["problem"]
    assert "sk-wrong-40417" not in refused.out + refused.err + shown.out
    assert "reached" in shown.out
    assert set(reached.value["locations"].values()) == {None}
    assert lost.code == 1
    assert "no file system" in lost.value["locations"]["floppy://landing"]["problem"]
    assert "endpoints" not in workshop.run("health", "--json").value


def test_a_state_store_that_is_away_is_degraded(workshop, monkeypatch):
    monkeypatch.setenv("PROMPTORY_STATE_URL", "redis://127.0.0.1:1/0")
    away = workshop.run("health", "--json")
    assert (away.code, away.value["overall"], away.value["state_available"]) == (1, "degraded", False)
    assert "127.0.0.1:1" in away.value["reasons"][0]
    shown = workshop.run("health", "--check")
    assert shown.code == 1
    assert "No endpoint was asked" in shown.out


def test_a_warning_is_shown_with_its_reason(asked):
    cost = budgets(asked)["day"]["spent_usd"]
    asked.run("budget", "set", "day", cost)

    health = asked.run("health", "--json")

    assert (health.code, health.value["overall"]) == (0, "warning")
    assert any("100% used" in reason for reason in health.value["reasons"])
