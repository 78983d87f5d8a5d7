"""The whole loop against a provider that bills by itself; nothing but configuration says that it is one."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from loop.scripted_model import learns
from loop.workplace import TARIFFS, TASK, Example, Workplace, money_of_days, over_http, task_values
from servers.openai_server import OpenAIServer
from upath import UPath

from domain.dataset import Row, Split
from resources.database.repositories import dataset_versions
from resources.database.repositories.spending import scope_totals, totals
from resources.storage.datasets import DatasetStore

NANO = 1_000_000_000
SCOPE = f"task:{TASK}"


@dataclass(frozen=True)
class Loop:
    """A loop that has run: what the commands said, and which requests each of them made."""

    place: Workplace
    server: OpenAIServer
    optimized: dict[str, Any]
    evaluated: dict[str, Any]
    optimize_bodies: tuple[bytes, ...]
    evaluate_bodies: tuple[bytes, ...]
    invoice: int

    def rows(self, split: Split) -> list[Row]:
        with self.place.database() as database, database.session(read_only=True) as session:
            version = dataset_versions.latest(session, TASK)
        assert version is not None
        return DatasetStore(UPath(self.place.environment.storage_root)).read(version, [split])

    def shown(self, asset: str) -> list[dict[str, Any]]:
        """The metadata of all materializations of `asset`, as the UI shows them."""
        with self.place.instance() as instance:
            records = instance.fetch_materializations(dg.AssetKey(asset), limit=10).records
        found = [record.asset_materialization for record in records]
        return [{name: value.value for name, value in one.metadata.items()} for one in found if one is not None]

    def shown_cost_nano_usd(self) -> int:
        """The sum of `cost_usd` over all materializations."""
        assets = ("optimization_run", "evaluation")
        return sum(round(one["cost_usd"] * NANO) for asset in assets for one in self.shown(asset))


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loop]:
    """`promptory optimize` and `promptory evaluate`, each a process, without the response cache."""
    with OpenAIServer(behaviour=learns, tariffs=TARIFFS) as server:
        settings = over_http(server, cache={"enabled": False})
        place = Workplace(tmp_path_factory.mktemp("http"), settings=settings)
        place.write_rows([Example(number) for number in range(96)])
        place.write_task(task_values(model="openai/scripted"))
        place.prepare()
        optimized = place.command("optimize", TASK)
        seen = len(server.bodies)
        evaluated = place.command("evaluate", TASK)
        bodies = tuple(server.bodies)
        yield Loop(place, server, optimized, evaluated, bodies[:seen], bodies[seen:], server.invoice_nano_usd())


def test_a_prompt_that_learned_the_rule_is_promoted(loop: Loop) -> None:
    assert loop.evaluated["decision"]["verdict"] == "promote"
    assert loop.evaluated["optimized"]["test"]["score"] > 0.9
    assert loop.evaluated["baseline"]["test"]["score"] < 0.5
    assert loop.evaluated["production"]["id"] == loop.optimized["optimization_run"]["result"]["id"]


def test_the_ledger_the_scopes_and_the_materializations_equal_the_invoice(loop: Loop) -> None:
    with loop.place.database() as database, database.session(read_only=True) as session:
        ledger = totals(session)
        scopes = {name: (spent, ambiguous) for name, spent, ambiguous in scope_totals(session)}
    day = money_of_days(loop.place)

    invoice = loop.server.invoice_nano_usd()  # with the calls another test may have made by now
    assert invoice >= loop.invoice > 0
    assert (ledger.spent_nano_usd, ledger.ambiguous_nano_usd) == (invoice, 0)
    assert scopes[SCOPE] == (invoice, 0)
    assert (day.settled_nano_usd, day.reserved_nano_usd, day.ambiguous_nano_usd) == (invoice, 0, 0)
    assert loop.shown_cost_nano_usd() == loop.invoice
    effort = [loop.optimized["effort"]["cost_nano_usd"], loop.evaluated["effort"]["cost_nano_usd"]]
    assert sum(effort) == loop.invoice
    assert loop.place.command("cost")["total"]["spent_nano_usd"] == invoice


@pytest.mark.parametrize(("asset", "purpose"), [("optimization_run", "optimize"), ("evaluation", "evaluate")])
def test_a_materialization_shows_what_the_ledger_has_of_its_calls(loop: Loop, asset: str, purpose: str) -> None:
    (shown,) = loop.shown(asset)
    with loop.place.database() as database, database.engine.connect() as connection:
        query = "SELECT count(*), sum(input_tokens + output_tokens), sum(cost_nano_usd) FROM calls WHERE purpose = ?"
        calls, tokens, cost = connection.exec_driver_sql(query, (purpose,)).one()
    assert (shown["calls"], shown["tokens"], round(shown["cost_usd"] * NANO)) == (calls, tokens, cost)
    assert (shown["cached_calls"], shown["cache_hit_rate"], shown["fallbacks"]) == (0, 0, {})
    assert shown["breaker_openings"] == 0
    if asset == "optimization_run":
        assert (shown["run_calls"], round(shown["run_cost_usd"] * NANO)) == (calls, cost)


def test_the_page_of_the_search_shows_plan_candidates_and_what_changed(loop: Loop) -> None:
    with loop.place.instance() as instance:
        record = instance.fetch_materializations(dg.AssetKey("optimization_run"), limit=1).records[0]
        logged = [entry.user_message for entry in instance.all_logs(record.run_id)]
    assert record.asset_materialization is not None
    shown = {name: str(value.value) for name, value in record.asset_materialization.metadata.items()}
    assert "| bootstrap_random_search | task | openai/scripted |" in shown["plan"]
    assert shown["candidates"].count("★") == 1
    assert "(95 %)" in shown["candidates"]
    assert "USD per 1,000 rows" in shown["candidates"]
    assert "\n+-- demonstrations: " in shown["diff"]
    assert shown["score_vs_cost"].startswith("![Score on dev against cost](data:image/png;base64,")
    assert any(line.startswith("planned: ") for line in logged)
    assert 1 <= sum("(new best)" in line for line in logged) <= 4


def test_every_attempt_is_on_the_invoice_at_its_price(loop: Loop) -> None:
    with loop.place.database() as database, database.engine.connect() as connection:
        booked = connection.exec_driver_sql("SELECT provider_request_id, cost_nano_usd, charge FROM attempts").all()

    billed = [(line.request_id, line.nano_usd, "settled") for line in loop.server.invoice]
    assert sorted(map(tuple, booked)) == sorted(billed)
    assert len(billed) >= len(loop.optimize_bodies) + len(loop.evaluate_bodies)


def test_no_row_of_the_test_split_reaches_the_optimizer(loop: Loop) -> None:
    sealed = [Example(number) for number in range(96)]
    texts = {row.inputs["text"] for row in loop.rows(Split.TEST)}
    tokens = [one.token for one in sealed if one.text in texts]

    assert len(tokens) == loop.evaluated["baseline"]["test"]["rows"] > 20
    for token in tokens:
        assert not any(token.encode() in body for body in loop.optimize_bodies)
        assert any(token.encode() in body for body in loop.evaluate_bodies)


def test_only_production_the_winner_and_the_references_are_shown_the_test_split(loop: Loop) -> None:
    texts = {row.inputs["text"] for row in loop.rows(Split.TEST)}
    shown: dict[str, set[str]] = defaultdict(set)
    for body in loop.evaluate_bodies:
        *prompt, question = json.loads(body)["messages"]
        text = question["content"].removeprefix("Text: ")
        if text in texts:
            shown[json.dumps(prompt)].add(text)

    assert len(shown) == 2 + len(loop.evaluated["random_demonstrations"]["draws"])
    assert all(rows == texts for rows in shown.values())


def test_what_is_optimized_is_evaluated_is_served_byte_for_byte(loop: Loop) -> None:
    dev = loop.rows(Split.DEV)
    questions = {f"Text: {row.inputs['text']}" for row in dev}
    on_dev = {body for body in loop.evaluate_bodies if json.loads(body)["messages"][-1]["content"] in questions}

    assert len(on_dev) == 2 * len(dev)  # the written prompt and the winner
    assert on_dev <= set(loop.optimize_bodies)


@pytest.mark.parametrize("version", ["v1", "production"])
def test_a_served_call_sends_what_the_evaluation_sent(loop: Loop, version: str) -> None:
    row = loop.rows(Split.DEV)[0]
    answer = loop.place.command("call", TASK, "--input", f"text={row.inputs['text']}", "--version", version)
    served = loop.server.bodies[-1]

    assert answer["cost_nano_usd"] == loop.server.invoice[-1].nano_usd
    assert served in loop.optimize_bodies
    assert served in loop.evaluate_bodies


def test_no_file_of_the_home_holds_the_key(loop: Loop) -> None:
    key = b"test-key"
    files = [path for path in Path(loop.place.home).rglob("*") if path.is_file()]

    assert files
    assert [path for path in files if key in path.read_bytes()] == []
