"""How experiments end: by the stop rule or by a person, with one recorded decision that promotion goes by."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from experiments.laboratory import START, TASK, Laboratory, hours

from domain.errors import ConflictError
from resources.database.repositories import aliases, experiments, gate_decisions
from resources.evaluation.promote import promote_decided
from resources.experiments.reporting import LiveReport, conclude, make_report

NOW = START + hours(24 * 30)


def better(variant: str) -> float:
    return 0.5 if variant == "control" else 0.75


def equal(_: str) -> float:
    return 0.5


def report_on(lab: Laboratory, chance=better, units: int = 900, **changes) -> LiveReport:
    lab.traffic(lab.start(**changes), units, chance)
    return make_report(lab.database, "wording", NOW)


def test_a_winner_stops_the_experiment_and_is_promoted_by_its_decision(lab: Laboratory) -> None:
    made = report_on(lab)
    assert made.report.verdict.kind == "winner"
    ended = conclude(lab.database, made, NOW)

    record, decision = ended.started.record, ended.decision
    assert (record.state, record.stop_kind, record.stopped_by) == ("stopped", "winner", "stop rule")
    assert record.stop_reason == made.report.verdict.reason
    assert decision is not None
    assert (decision.kind, decision.experiment, decision.verdict, decision.look) == (
        "experiment",
        "wording",
        "promote",
        0,
    )
    assert (decision.candidate_id, decision.production_id) == (lab.version("v2"), lab.version("v1"))
    assert decision.dataset_version_id == made.observations_id
    assert decision.id == record.decision_id

    promoted = promote_decided(lab.database, TASK, decision.id, NOW)
    assert (promoted.moved, lab.production()) == (True, lab.version("v2"))
    assert not promote_decided(lab.database, TASK, decision.id, NOW).moved
    with lab.database.session(read_only=True) as session:
        assert gate_decisions.latest_of_experiments(session, TASK) == decision
        assert gate_decisions.looks(session, TASK) == 0
        assert aliases.history(session, TASK, "production")[0].decision_id == decision.id


def test_a_decision_is_void_once_production_has_moved(lab: Laboratory) -> None:
    ended = conclude(lab.database, report_on(lab), NOW)
    with lab.database.session() as session:
        aliases.move(
            session,
            TASK,
            "production",
            lab.version("v3"),
            expected_revision=1,
            moved_by="ada",
            reason="By hand.",
            now=NOW,
        )
    assert ended.decision is not None
    promoted = promote_decided(lab.database, TASK, ended.decision.id, NOW)
    assert not promoted.moved
    assert "Production has moved" in promoted.reason
    assert lab.production() == lab.version("v3")


@pytest.mark.parametrize(
    ("kind", "changes", "cost"),
    [("futility", {"max_units": 800}, 1.0), ("guardrail", {"guardrails": {"max_cost_ratio": 1.1}}, 3.0)],
)
def test_an_experiment_without_winner_ends_in_a_rejection(
    lab: Laboratory, kind: str, changes: dict, cost: float
) -> None:
    lab.traffic(lab.start(**changes), 900, equal, cost=lambda variant: cost if variant == "shorter" else 1.0)
    ended = conclude(lab.database, make_report(lab.database, "wording", NOW), NOW)
    assert ended.started.record.stop_kind == kind
    assert ended.decision is not None
    assert ended.decision.verdict == "reject"
    assert not promote_decided(lab.database, TASK, ended.decision.id, NOW).moved
    assert lab.production() == lab.version("v1")


def test_nothing_is_concluded_from_an_open_question(lab: Laboratory) -> None:
    made = report_on(lab, equal, 100)
    assert conclude(lab.database, made, NOW) is made
    assert make_report(lab.database, "wording", NOW).started.is_running


def test_units_that_another_dealt_keep_anything_from_being_concluded(lab: Laboratory) -> None:
    started = lab.start()
    names = [f"u{n}" for n in range(4_000)]
    kept = [name for name in names if started.dealt(name) == "shorter" or name.endswith(("1", "2", "3"))]
    lab.traffic(started, len(kept), better, names=kept)
    made = make_report(lab.database, "wording", NOW)
    assert made.report.verdict.kind == "mismatch"
    assert conclude(lab.database, made, NOW) is made


def test_a_person_may_stop_it_at_any_time_and_the_figures_decide(lab: Laboratory) -> None:
    made = report_on(lab, equal, 150)
    ended = conclude(lab.database, made, NOW, stopped_by="ada", kind="person", reason="Other things to do.")
    assert ended.started.record.stop_reason == "Other things to do."
    assert ended.decision is not None
    assert ended.decision.verdict == "reject"
    with pytest.raises(ConflictError, match="Other things to do"):
        conclude(lab.database, made, NOW, stopped_by="bob", kind="person", reason="Me too.")


def test_of_many_that_conclude_at_once_one_does_and_all_tell_the_same(lab: Laboratory) -> None:
    made = report_on(lab)
    with ThreadPoolExecutor(4) as pool:
        ended = list(pool.map(lambda _: conclude(lab.database, made, NOW), range(4)))
    assert len({one.started.record.decision_id for one in ended}) == 1
    assert {one.started.record.revision for one in ended} == {2}
    with lab.database.session(read_only=True) as session:
        assert len(gate_decisions.list_gate_decisions(session, TASK)) == 1
        assert experiments.get(session, "wording").state == "stopped"


def test_a_report_after_the_stop_shows_the_decision_that_was_taken(lab: Laboratory) -> None:
    ended = conclude(lab.database, report_on(lab), NOW)
    again = make_report(lab.database, "wording", NOW + hours(50))
    assert again.decision == ended.decision
    assert again.as_dict()["decision"]["verdict"] == "promote"
