"""The asset `compression`: the way of a cheaper prompt through gate and promotion, and what its page shows."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from loop.rich_production import make_rich
from loop.scripted_model import learns
from loop.workplace import TARIFFS, TASK, Workplace
from servers.openai_server import OpenAIServer

from resources.database.repositories import aliases, gate_decisions
from resources.evaluation.promote import PRODUCTION

MakeWorkplace = Callable[..., Workplace]
SURE_ENOUGH = {"non_inferiority_margin": 0.15}


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(behaviour=learns, tariffs=TARIFFS) as running:
        yield running


def production(place: Workplace) -> str:
    with place.database() as database, database.session(read_only=True) as session:
        return aliases.get(session, TASK, PRODUCTION).prompt_version_id


def compress(place: Workplace) -> dict[str, Any]:
    return place.run("compression").metadata["compression"]


def promote(place: Workplace) -> dict[str, Any]:
    return place.run("promotion").metadata["promotion"]


def test_a_cheaper_prompt_is_promoted_once_and_not_compressed_again(
    make_workplace: MakeWorkplace, server: OpenAIServer
) -> None:
    place = make_rich(make_workplace, server, gate=SURE_ENOUGH)
    wasteful = production(place)
    found = compress(place)
    assert (found["verdict"], found["production_version_id"]) == ("promote", wasteful)
    assert production(place) == wasteful, "compression itself moves nothing"
    assert (found["cost_usd"], found["run_cost_usd"]) == (pytest.approx(server.invoice_nano_usd() / 1e9),) * 2
    assert 0.05 < found["saving_on_dev"] < 1
    assert "| ★ | " in found["variants"]
    assert found["quality_against_cost"].startswith("![Quality against cost](data:image/png;base64,")
    assert "\n-" in found["diff"]

    moved = promote(place)
    assert (moved["moved"], moved["decision_id"]) == (True, found["decision_id"])
    assert production(place) == found["result_version_id"] != wasteful
    asked = len(server.bodies)
    again = compress(place)
    assert len(server.bodies) == asked
    assert again["cost_usd"] == 0
    same = ("run_id", "result_version_id", "decision_id", "run_cost_usd", "variants", "diff")
    assert [again[name] for name in same] == [found[name] for name in same]
    assert promote(place)["moved"] is False

    rejected = place.run("evaluation", "promotion").metadata
    assert rejected["promotion"]["decision_id"] == rejected["evaluation"]["decision_id"], "the newer decision counts"
    assert production(place) == found["result_version_id"]


def test_what_the_gate_rejects_is_not_promoted_whatever_the_handle_says(
    make_workplace: MakeWorkplace, server: OpenAIServer
) -> None:
    place = make_rich(make_workplace, server)  # "not worse by 0.02" takes more rows than these
    wasteful = production(place)
    report = place.run("compression")
    found = report.metadata["compression"]
    assert found["verdict"] == "reject"
    assert [(check.name, check.passed) for check in report.checks] == [("gate", False)]

    assert promote(place)["moved"] is False
    handle = place.home / "storage" / "handles" / "compression" / f"{TASK}.json"
    kept = json.loads(handle.read_text())
    with place.database() as database, database.session() as session:
        mine = gate_decisions.get(session, found["decision_id"])
        fields = {name: getattr(mine, name) for name in mine.__slots__}
        foreign = {"id": "f" * 64, "task": "other", "verdict": "promote"}
        gate_decisions.record(session, gate_decisions.GateDecisionRecord(**{**fields, **foreign}))
    handle.write_text(json.dumps({**kept, "decision_id": "f" * 64}))
    with pytest.raises(Exception, match="another task"):
        promote(place)
    assert production(place) == wasteful
