"""Embedding similarity over HTTP: every text embedded once, billed as the ledger says, its failures never a 0."""

from __future__ import annotations

from typing import Any

import pytest
from evaluation.desk import Desk, task_of
from servers.embeddings import DIMENSIONS
from servers.openai_server import Fault, OpenAIServer

from domain.dataset import Row, SplitFractions, make_row
from domain.errors import UnansweredError
from domain.evaluators.vectors import cosine
from resources.database.repositories.spending import totals

SIMILARITY: dict[str, Any] = {"kind": "embedding_similarity", "model": "embeddings/vectors"}
TEXT = {"output": {"kind": "text"}, "parameters": {"max_output_tokens": 40}}
SHARED = "leave it where it is"


def expected_of(number: int) -> str:
    return f"put crate {number} into the shed" if number % 3 else SHARED


def rows(count: int = 40) -> list[Row]:
    splits = SplitFractions(train=0.0, dev=0.5, test=0.5)
    return [make_row({"text": f"crate {one}"}, expected_of(one), f"r{one}", splits) for one in range(count)]


def says(body: dict[str, Any]) -> str:
    """Of every fourth row the expected text, of the others another one with words in common."""
    number = int(body["messages"][-1]["content"].rsplit(" ", 1)[1])
    return expected_of(number) if number % 4 == 0 else f"put crate {number} somewhere else"


def task(*others: dict[str, Any], prompt: dict[str, Any] | None = None, **changes: Any) -> Any:
    return task_of([{**SIMILARITY, **changes}, *others], prompt={**TEXT, **(prompt or {})})


def embedded(server: OpenAIServer, since: int = 0) -> list[str]:
    return [body["input"] for body in server.requests[since:] if "input" in body]


def test_the_score_is_the_cosine_of_the_vectors_and_every_text_is_embedded_once(
    desk: Desk, server: OpenAIServer
) -> None:
    server.behaviour = says
    done = desk.evaluate(task(), rows())
    asked = [one for one in done.examples if one.answer != one.expected]

    assert 0 < len(asked) < len(done.examples)
    for one in done.examples:
        true = cosine(server.embed(one.answer), server.embed(one.expected))
        assert one.score == pytest.approx(max(0.0, true), abs=1e-5)
    assert len({one.score for one in done.examples}) > 5
    texts = embedded(server)
    assert sorted(texts) == sorted({one.answer for one in asked} | {one.expected for one in asked})
    assert texts.count(SHARED) == 1


def test_the_invoice_is_in_the_ledger_and_in_the_summary(desk: Desk, server: OpenAIServer) -> None:
    server.behaviour = says
    done = desk.evaluate(task(), rows())
    table = desk.examples(done)
    with desk.database.session(read_only=True) as session:
        ledger = totals(session)
    with desk.database.engine.connect() as connection:
        calls = connection.exec_driver_sql("SELECT purpose, step, prompt_version_id FROM calls").all()
    mine = [call for call in calls if call.purpose == "judge"]

    assert ledger.spent_nano_usd == server.invoice_nano_usd() == done.effort.paid_nano_usd
    assert done.record.summary["judge_cost_nano_usd"] == server.invoice_nano_usd("vectors") > 0
    assert sum(table["judge_cost_nano_usd"]) == server.invoice_nano_usd("vectors")
    assert done.record.summary["cost_nano_usd"] == server.invoice_nano_usd("scripted")
    assert {call.step for call in mine} == {"judge:embedding_similarity"}
    assert {call.prompt_version_id for call in mine} == {None, done.record.prompt_version_id}
    assert {len(calls) for calls in table["judge_call_ids"]} == {0, 2}


def test_again_is_free_and_another_prompt_pays_for_its_new_answers_only(desk: Desk, server: OpenAIServer) -> None:
    server.behaviour = says
    first = desk.evaluate(task(), rows())
    asked = len(server.bodies)
    again = desk.evaluate(task(), rows())
    assert len(server.bodies) == asked
    assert (again.record, again.effort.calls) == (first.record, 0)

    desk.evaluate(task(threshold=0.6), rows())
    assert len(server.bodies) == asked, "scored otherwise, from the same vectors"

    def differently(body: dict[str, Any]) -> str:
        return f"now {says(body)}" if body["messages"][-1]["content"].endswith("1") else says(body)

    server.behaviour = differently
    other = desk.evaluate(task(prompt={"system_prompt": "Other words."}), rows())
    new = {one.answer for one in other.examples} - {one.answer for one in first.examples}
    assert set(embedded(server, asked)) == new
    assert len(embedded(server, asked)) == len(new) > 0


def test_answers_that_break_their_contract_or_are_empty_score_zero_unasked(desk: Desk, server: OpenAIServer) -> None:
    def reasons(body: dict[str, Any]) -> str:
        number = int(body["messages"][-1]["content"].rsplit(" ", 1)[1])
        return ["I cannot tell.", "Hm.\nAnswer: ", f"Hm.\nAnswer: {says(body)}"][number % 3]

    server.behaviour = reasons
    done = desk.evaluate(task(prompt={"output": {"kind": "text", "reasoning": True}}), rows())
    by_kind = [[one for one in done.examples if int(one.row_id[1:]) % 3 == kind] for kind in range(3)]

    assert {(one.score, str(one.status)) for one in by_kind[0]} == {(0.0, "unparsable")}
    assert {(one.score, one.reason) for one in by_kind[1]} == {(0.0, "the answer is empty")}
    assert all(one.score and one.score > 0 for one in by_kind[2])
    assert not any("Hm" in text or "tell" in text for text in embedded(server))


def test_a_text_that_is_refused_is_an_evaluator_error_and_asked_again(desk: Desk, server: OpenAIServer) -> None:
    server.behaviour = says
    refused = Fault(status=400, error={"code": "context_length_exceeded", "message": "too long"})
    server.faults = lambda _, body: refused if body.get("input") == SHARED else None
    done = desk.evaluate(task({"kind": "exact_match"}), rows())
    without = [one for one in done.examples if one.score is None]

    assert {one.expected for one in without} == {SHARED}
    assert {str(one.status) for one in without} == {"evaluator_error"}
    assert all("refused to embed the expected text" in one.reason for one in without)
    summary = done.record.summary
    assert summary["problems"]["evaluator_error"] == summary["metrics"]["embedding_similarity"]["errors"] > 0
    assert summary["metrics"]["embedding_similarity"]["scored"] == len(done.examples) - len(without)
    assert summary["judge_cost_nano_usd"] == server.invoice_nano_usd("vectors")
    server.faults = lambda _, __: None
    asked = len(server.bodies)
    mended = desk.evaluate(task({"kind": "exact_match"}), rows())
    assert embedded(server, asked) == [SHARED]
    assert mended.record.id != done.record.id
    assert mended.record.summary["problems"]["evaluator_error"] == 0


def test_an_outage_ends_the_evaluation_and_it_goes_on_where_it_was(desk: Desk, server: OpenAIServer) -> None:
    server.behaviour = says
    desk.settings = {"retry": {"max_attempts": 1}, "breaker": {"consecutive_faults": 1000}}
    answered = sum(one.split == "dev" for one in rows(80))
    server.faults = lambda index, body: Fault(status=503) if "input" in body and index >= answered + 10 else None
    with pytest.raises(UnansweredError):
        desk.evaluate(task(), rows(80))
    server.faults = lambda _, __: None
    kept = server.invoice_nano_usd("vectors")
    done = desk.evaluate(task(), rows(80))
    assert kept > 0
    assert done.record.summary["judge_cost_nano_usd"] == server.invoice_nano_usd("vectors")


def test_a_model_that_changed_its_vectors_length_gives_no_score(desk: Desk, server: OpenAIServer) -> None:
    """Stored vectors cannot be compared with those of another model under the same name: told, not scored."""
    server.behaviour = says
    desk.evaluate(task(), rows())
    server.behaviour = lambda body: f"well, {says(body)}"
    server.embed = lambda _: (1.0, 2.0)
    done = desk.evaluate(task({"kind": "exact_match"}, prompt={"system_prompt": "Other words."}), rows(80))
    told = [one.reason for one in done.examples if one.score is None]
    assert told
    assert all(f"{DIMENSIONS} dimensions" in reason and "2 " in reason for reason in told)
