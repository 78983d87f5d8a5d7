"""Launching the promotion alone: it goes by the recorded decision, whatever its input says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from loop.scripted_model import Overfits, learns
from loop.workplace import TARIFFS, TASK, Example, Workplace, over_http
from servers.openai_server import OpenAIServer

from domain.dataset import Split, SplitFractions, assign_split
from resources.database.repositories import aliases, gate_decisions
from resources.evaluation.promote import PRODUCTION

ROWS = 72
NOW = datetime(2026, 11, 22, tzinfo=UTC)


@dataclass(frozen=True)
class Launcher:
    """The job `promote` of the code location, on a workplace whose loop has run."""

    place: Workplace
    job: dg.JobDefinition

    def promote(self) -> dict[str, Any]:
        with self.place.instance() as instance:
            result = self.job.execute_in_process(instance=instance, partition_key=TASK, raise_on_error=False)
        if not result.success:
            return {"failed": result.all_node_events[-1].event_specific_data.user_failure_data.description}
        (made,) = result.get_asset_materialization_events()
        metadata = made.step_materialization_data.materialization.metadata
        return {name: metadata[name].value for name in ("moved", "verdict", "reason", "production")}

    @property
    def handle(self) -> Path:
        return self.place.home / "storage" / "handles" / "evaluation" / f"{TASK}.json"

    def tamper(self, **changes: Any) -> None:
        self.handle.write_text(json.dumps({**json.loads(self.handle.read_text()), **changes}))

    def production(self, task: str = TASK) -> aliases.AliasRecord:
        with self.place.database() as database, database.session(read_only=True) as session:
            return aliases.get(session, task, PRODUCTION)

    def move_by_hand(self, to_id: str) -> None:
        with self.place.database() as database, database.session() as session:
            revision = aliases.get(session, TASK, PRODUCTION).revision
            aliases.move(
                session, TASK, PRODUCTION, to_id, expected_revision=revision, moved_by="ada", reason="It was rude.",
                now=NOW,
            )  # fmt: skip


MakeLauncher = Callable[[OpenAIServer], Launcher]


@pytest.fixture
def launcher(make_workplace: Callable[..., Workplace], with_dbt: Callable[[Workplace], Workplace]) -> MakeLauncher:
    """Runs the whole loop against a server and hands out the job."""
    from orchestration.definitions import build_definitions

    def make(server: OpenAIServer) -> Launcher:
        place = with_dbt(make_workplace(ROWS, over_http(server), model="openai/scripted"))
        place.run()
        return Launcher(place, build_definitions(place.environment).resolve_job_def("promote"))

    return make


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer(behaviour=learns, tariffs=TARIFFS) as running:
        yield running


def sealed_tokens() -> list[str]:
    """The tokens of the rows that the split deals to test."""
    fractions = SplitFractions(seed=3, train=0.4, dev=0.25, test=0.35)
    rows = [Example(number) for number in range(ROWS)]
    return [one.token for one in rows if assign_split({"text": one.text}, fractions) is Split.TEST]


def test_a_rejection_is_not_carried_out(launcher: MakeLauncher, server: OpenAIServer) -> None:
    server.behaviour = Overfits(sealed_tokens())
    launched = launcher(server)
    before = launched.production()
    asked = len(server.bodies)
    with launched.place.database() as database, database.session(read_only=True) as session:
        decision = gate_decisions.latest(session, TASK)
    assert decision is not None
    assert (decision.verdict, decision.production_id) == ("reject", before.prompt_version_id)
    assert decision.candidate_id != decision.production_id

    alone = launched.promote()
    assert (alone["moved"], alone["verdict"]) == (False, "reject")
    launched.tamper(verdict="promote")
    assert launched.promote()["moved"] is False
    launched.tamper(decision_id="0" * 64)
    assert "no gate decision" in launched.promote()["failed"]

    assert launched.production() == before
    assert len(server.bodies) == asked


def test_a_decision_of_another_task_is_not_carried_out(launcher: MakeLauncher, server: OpenAIServer) -> None:
    server.behaviour = Overfits(sealed_tokens())
    launched = launcher(server)
    before = launched.production()
    with launched.place.database() as database, database.session() as session:
        mine = gate_decisions.latest(session, TASK)
        assert mine is not None
        fields = {name: getattr(mine, name) for name in mine.__slots__}
        foreign = {"id": "f" * 64, "task": "other", "verdict": "promote"}
        gate_decisions.record(session, gate_decisions.GateDecisionRecord(**{**fields, **foreign}))

    launched.tamper(decision_id="f" * 64)

    assert "another task" in launched.promote()["failed"]
    assert launched.production() == before


def test_a_move_by_hand_is_not_undone(launcher: MakeLauncher, server: OpenAIServer) -> None:
    launched = launcher(server)
    with launched.place.database() as database, database.session(read_only=True) as session:
        decision = gate_decisions.latest(session, TASK)
    assert decision is not None
    assert (decision.verdict, launched.production().prompt_version_id) == ("promote", decision.candidate_id)
    assert launched.promote()["moved"] is False

    launched.move_by_hand(decision.production_id)
    again = launched.promote()

    assert again["moved"] is False
    assert "carried out already" in again["reason"]
    assert launched.production().prompt_version_id == decision.production_id
    launched.place.run()
    assert launched.production().prompt_version_id == decision.production_id
