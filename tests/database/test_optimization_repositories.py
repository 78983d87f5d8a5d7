"""Optimization runs, their journal, answers, evaluations and gate decisions."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from domain.errors import ConflictError, NotFoundError
from resources.database.repositories import (
    answers,
    evaluations,
    gate_decisions,
    journal,
    judgements,
    optimization_runs,
)
from resources.database.repositories.answers import AnswerRecord
from resources.database.repositories.evaluations import EvaluationRecord
from resources.database.repositories.gate_decisions import GateDecisionRecord
from resources.database.repositories.judgements import JudgementRecord
from resources.database.repositories.optimization_runs import OptimizationRunRecord, RunResult
from resources.database.session import Database

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
RUN = "1" * 64
RESULT = RunResult(
    result_prompt_version_id="w" * 64,
    dev_score=0.1 + 0.2,
    reference_prompt_version_ids=("r" * 64,),
    candidates=({"id": "w" * 64, "score": 0.3}, {"id": "x" * 64, "score": None}),
)


def start(database: Database, run_id: str = RUN, now: datetime = NOW) -> OptimizationRunRecord:
    with database.session() as session:
        return optimization_runs.start(
            session,
            run_id,
            task="triage",
            prompt_version_id="p" * 64,
            dataset_version_id="d" * 64,
            optimizer={"kind": "random_search", "seed": 3},
            now=now,
        )


def finish(database: Database, result: RunResult = RESULT) -> OptimizationRunRecord:
    with database.session() as session:
        return optimization_runs.finish(session, RUN, result, now=NOW + timedelta(hours=1))


def test_a_run_is_started_once(database: Database):
    first = start(database)
    assert (first.status, first.finished_at, first.result_prompt_version_id) == ("running", None, None)
    assert first.optimizer == {"kind": "random_search", "seed": 3}
    assert start(database, now=NOW + timedelta(hours=1)) == first


def test_a_paused_run_is_started_again(database: Database):
    first = start(database)
    with database.session() as session:
        paused = optimization_runs.pause(session, RUN, reason="day: cap reached")
    assert (paused.status, paused.stop_reason) == ("paused", "day: cap reached")
    assert start(database) == first


def test_a_finished_run_keeps_its_result(database: Database):
    start(database)
    finished = finish(database)
    assert (finished.status, finished.finished_at) == ("finished", NOW + timedelta(hours=1))
    assert finished.dev_score == 0.1 + 0.2
    assert finished.candidates == RESULT.candidates
    assert finished.reference_prompt_version_ids == ("r" * 64,)
    assert finish(database) == finished
    assert start(database) == finished
    with database.session() as session:
        assert optimization_runs.pause(session, RUN, reason="too late") == finished
    for other in (
        replace(RESULT, result_prompt_version_id="v" * 64),
        replace(RESULT, dev_score=0.4),
        replace(RESULT, stop_reason="run cap reached"),
    ):
        with pytest.raises(ConflictError, match="finished before"):
            finish(database, other)
    with database.session(read_only=True) as session:
        assert optimization_runs.get(session, RUN) == finished


def test_only_one_of_two_different_results_is_kept(database: Database):
    start(database)

    def attempt(number: int) -> bool:
        try:
            finish(database, replace(RESULT, dev_score=float(number)))
        except ConflictError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(attempt, range(4)))
    assert won.count(True) == 1
    with database.session(read_only=True) as session:
        assert optimization_runs.get(session, RUN).dev_score == float(won.index(True))


def test_an_unknown_run_is_not_found(database: Database):
    with database.session(read_only=True) as session:
        assert optimization_runs.find(session, RUN) is None
        with pytest.raises(NotFoundError, match="no optimization run 111111111111"):
            optimization_runs.get(session, RUN)
    with pytest.raises(NotFoundError):
        finish(database)


def test_runs_are_listed_newest_first(database: Database):
    for number in range(3):
        start(database, f"{number}" * 64, NOW + timedelta(minutes=number))
    finish(database)
    with database.session(read_only=True) as session:
        listed = optimization_runs.list_optimization_runs(session, "triage")
        assert [run.id[0] for run in listed] == ["2", "1", "0"]
        finished = optimization_runs.list_optimization_runs(session, "triage", status="finished")
        assert [run.id[0] for run in finished] == ["1"]
        assert len(optimization_runs.list_optimization_runs(session, "triage", limit=2)) == 2
        assert optimization_runs.list_optimization_runs(session, "refunds") == []


def test_the_journal_keeps_first_answers_per_run(database: Database):
    with database.session() as session:
        assert journal.put_many(session, "a", {"k1": {"text": "one"}, "k2": {"text": "two", "n": 1}}, now=NOW) == 2
        assert journal.put_many(session, "a", {"k1": {"text": "other"}, "k3": {"text": "three"}}, now=NOW) == 1
        assert journal.put_many(session, "b", {"k1": {"text": "of b"}}, now=NOW) == 1
        assert journal.put_many(session, "b", {}, now=NOW) == 0
    with database.session(read_only=True) as session:
        assert journal.find(session, "a", "k1") == {"text": "one"}
        assert journal.find(session, "a", "k9") is None
        assert journal.load_all(session, "a") == {
            "k1": {"text": "one"},
            "k2": {"text": "two", "n": 1},
            "k3": {"text": "three"},
        }
        assert journal.load_all(session, "c") == {}


def answer(input_id: str, prompt_version_id: str = "p" * 64, sample: int = 0) -> AnswerRecord:
    return AnswerRecord(
        prompt_version_id,
        input_id,
        sample,
        f"text of {input_id}",
        "c1",
        "openai/m",
        7_000_000_000_000,
        0.25,
        3,
        4,
        ["c0", "c1"] if sample else None,
        "find" if sample else None,
        NOW,
    )


def test_answers_are_found_by_prompt_input_and_sample(database: Database):
    stored = [answer(f"{number:064d}") for number in range(1700)]
    others = [answer(f"{0:064d}", "q" * 64), answer(f"{0:064d}", sample=1)]
    with database.session() as session:
        assert answers.put_many(session, stored + others) == 1702
        assert answers.put_many(session, stored[:3]) == 0
    wanted = [f"{number:064d}" for number in range(1, 2000)]
    with database.session(read_only=True) as session:
        found = answers.get_many(session, "p" * 64, iter(wanted + wanted[:10]))
        assert found == {item.input_id: item for item in stored[1:]}
        assert answers.get_many(session, "p" * 64, [f"{0:064d}"], sample=1) == {f"{0:064d}": others[1]}
        assert answers.get_many(session, "q" * 64, wanted) == {}
        assert answers.get_many(session, "p" * 64, []) == {}


def judgement(subject_id: str, sample: int = 0, judge_id: str = "j" * 64, text: str = "a \0 grade") -> JudgementRecord:
    figures = (7_000_000_000_000, 0.25, 3, 4)
    return JudgementRecord(
        judge_id, subject_id, sample, "triage", None, "i" * 64, text, f"c{sample}", "openai/m", *figures, NOW
    )


def test_judgements_are_found_by_judge_subject_and_sample(database: Database):
    stored = [judgement(f"{number:064d}", sample) for number in range(600) for sample in range(3)]
    other = judgement(f"{0:064d}", judge_id="k" * 64)
    with database.session() as session:
        assert judgements.put_many(session, [*stored, other]) == 1801
        assert judgements.put_many(session, [judgement(f"{0:064d}", text="another")]) == 0
    with database.session(read_only=True) as session:
        found = judgements.get_many(session, "j" * 64, [f"{number:064d}" for number in range(550, 700)], 2)
        assert found == {(one.subject_id, one.sample): one for one in stored[1650:] if one.sample < 2}
        first = judgements.get_many(session, "j" * 64, [f"{0:064d}"], 1)
        assert first == {(f"{0:064d}", 0): stored[0]}


def evaluation(number: int, **changes: object) -> EvaluationRecord:
    first = EvaluationRecord(
        id=f"{number:064d}",
        task="triage",
        prompt_version_id="p" * 64,
        dataset_version_id="d" * 64,
        split="dev",
        metric="exact_match",
        rows=200,
        score=0.8,
        score_low=0.74,
        score_high=0.85,
        summary={"cost_nano_usd": 12},
        storage_path="evaluations/x.parquet",
        created_at=NOW + timedelta(minutes=number),
    )
    return replace(first, **changes)  # type: ignore[arg-type]


def test_an_evaluation_is_saved_once(database: Database):
    with database.session() as session:
        assert evaluations.save(session, evaluation(1)) == evaluation(1)
        assert evaluations.save(session, evaluation(1, score=0.1)) == evaluation(1)
        assert evaluations.get(session, f"{1:064d}") == evaluation(1)
        assert evaluations.find(session, "x") is None
        with pytest.raises(NotFoundError, match="no evaluation"):
            evaluations.get(session, "x")


def test_evaluations_are_listed_newest_first_as_they_fit(database: Database):
    test = evaluation(2, split="test")
    other = evaluation(3, prompt_version_id="q" * 64)
    with database.session() as session:
        for item in (evaluation(1), test, other, evaluation(4, task="refunds")):
            evaluations.save(session, item)
        assert evaluations.list_evaluations(session, "triage") == [other, test, evaluation(1)]
        assert evaluations.list_evaluations(session, "triage", split="test") == [test]
        assert evaluations.latest(session, "triage") == other
        assert evaluations.latest(session, "triage", prompt_version_id="p" * 64) == test
        assert evaluations.latest(session, "triage", dataset_version_id="e" * 64) is None


def decision(number: int, look: int, **changes: object) -> GateDecisionRecord:
    first = GateDecisionRecord(
        id=f"{number:064d}",
        task="triage",
        candidate_id="c" * 64,
        production_id="p" * 64,
        dataset_version_id="d" * 64,
        candidate_evaluation_id=None,
        production_evaluation_id="e" * 64,
        look=look,
        verdict="reject",
        reason="not significant",
        comparison={"p_value": 0.2},
        created_at=NOW + timedelta(minutes=number),
    )
    return replace(first, **changes)  # type: ignore[arg-type]


def test_a_decision_is_recorded_once(database: Database):
    with database.session() as session:
        assert gate_decisions.latest(session, "triage") is None
        assert gate_decisions.record(session, decision(1, 1)) == decision(1, 1)
        assert gate_decisions.record(session, decision(1, 1, verdict="promote")) == decision(1, 1)
        gate_decisions.record(session, decision(2, 2))
        assert gate_decisions.latest(session, "triage") == decision(2, 2)
        assert gate_decisions.get(session, f"{1:064d}") == decision(1, 1)
        assert gate_decisions.list_gate_decisions(session, "triage") == [decision(2, 2), decision(1, 1)]
        with pytest.raises(NotFoundError, match="no gate decision"):
            gate_decisions.get(session, "x")


def test_looks_are_counted_per_task(database: Database):
    with database.session() as session:
        assert gate_decisions.looks(session, "triage") == 0
        for item in (decision(1, 1), decision(2, 0), decision(3, 0), decision(4, 2), decision(5, 1, task="refunds")):
            gate_decisions.record(session, item)
        assert gate_decisions.looks(session, "triage") == 2
        assert gate_decisions.looks(session, "refunds") == 1


def test_two_gates_at_once_cannot_take_the_same_look(database: Database):
    def attempt(number: int) -> str:
        try:
            with database.session() as session:
                return gate_decisions.record(session, decision(number, 1)).id
        except ConflictError as error:
            return error.problem

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(attempt, range(8)))
    assert outcomes.count("Another decision of task 'triage' was look 1 at its test rows.") == 7
    with database.session(read_only=True) as session:
        assert gate_decisions.looks(session, "triage") == 1
