"""The journal: one question, one answer, kept before it is used."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dspy_runtime.scripted import SEARCHES, MemoryJournal, ScriptedModel, completion, run
from hypothesis import given
from hypothesis import strategies as st

from domain.message import Message
from domain.prompt import PromptVersion
from resources.database import schema
from resources.database.session import open_database
from resources.dspy_runtime.calls import Draw, RunCalls
from resources.dspy_runtime.halting import OptimizationHalted
from resources.dspy_runtime.journal import PROMPT_KEY, Journal, prompt_key
from resources.dspy_runtime.progress import ProgressReport
from resources.dspy_runtime.stored_journal import StoredJournal
from resources.llm.types import CallContext, Request

REQUEST = Request("openai/m", (Message("user", "hi"),))


def test_threads_that_ask_the_same_share_one_call() -> None:
    journal = Journal(MemoryJournal(), "run")
    started, go = threading.Event(), threading.Event()
    asked: list[int] = []
    answers: list[dict] = []

    def ask() -> dict:
        asked.append(1)
        started.set()
        go.wait(5)
        return {"text": f"draw {len(asked)}"}

    threads = [threading.Thread(target=lambda: answers.append(journal.answer("key", ask))) for _ in range(5)]
    threads[0].start()
    started.wait(5)
    for thread in threads[1:]:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert asked == [1]
    assert answers == [{"text": "draw 1"}] * 5


def test_an_answer_is_kept_before_anybody_sees_it() -> None:
    class Full(MemoryJournal):
        def put(self, run_id, key, answer):
            raise OSError("disk full")

    journal = Journal(Full(), "run")
    with pytest.raises(OSError, match="disk full"):
        journal.answer("key", lambda: {"text": "paid"})


def test_a_failure_is_nobodys_answer() -> None:
    journal = Journal(MemoryJournal(), "run")
    with pytest.raises(ZeroDivisionError):
        journal.answer("key", lambda: {"text": str(1 / 0)})
    assert journal.answer("key", lambda: {"text": "now"}) == {"text": "now"}


def test_draws_are_told_apart_and_everything_else_is_not() -> None:
    asked: list[int | None] = []

    def model(request: Request, context: CallContext):
        asked.append(request.sample)
        return completion(f"answer {len(asked)}", len(asked), request.model)

    store = MemoryJournal()
    for _ in range(2):  # the second time as a resumed run
        calls = RunCalls(model, Journal(store, "run"), CallContext(), ProgressReport(None, 0))
        texts = [
            calls.answer(REQUEST, draw, None)["text"] for draw in (Draw(), Draw(index=1), Draw(0), Draw(1, 1), Draw())
        ]
        assert texts == ["answer 1", "answer 2", "answer 3", "answer 4", "answer 1"]
    assert len(set(asked)) == 4


@given(st.sets(st.tuples(st.none() | st.integers(0, 10**9), st.integers(0, 99)), min_size=2, max_size=20))
def test_every_draw_has_a_sample_number_of_its_own(draws: set[tuple[int | None, int]]) -> None:
    samples = [Draw(rollout, index).sample(1.0) for rollout, index in draws]
    assert len(set(samples)) == len(draws)
    assert all(sample is not None and 0 <= sample < 2**63 for sample in samples)


def test_text_that_cannot_be_sent_on_is_mended() -> None:
    calls = RunCalls(
        lambda request, context: completion("half \ud83d", 1, request.model),
        Journal(MemoryJournal(), "run"),
        CallContext(),
        ProgressReport(None, 0),
    )
    assert calls.answer(REQUEST, Draw(), None)["text"] == "half ?"


def test_after_a_failure_no_call_is_answered() -> None:
    def model(request: Request, context: CallContext):
        if request.messages[0].content == "bad":
            raise ValueError("bad")
        return completion("fine", 1, request.model)

    calls = RunCalls(model, Journal(MemoryJournal(), "run"), CallContext(), ProgressReport(None, 0))
    calls.answer(REQUEST, Draw(), None)
    with pytest.raises(OptimizationHalted):
        calls.answer(Request("openai/m", (Message("user", "bad"),)), Draw(), None)
    with pytest.raises(OptimizationHalted) as caught:
        calls.answer(REQUEST, Draw(), None)
    assert isinstance(caught.value.cause, ValueError)


def test_the_database_keeps_it(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    database = open_database(url)
    schema.upgrade(database)
    journal = StoredJournal(database, lambda: datetime(2026, 1, 2, tzinfo=UTC))
    answer = {"text": "é\u2028", "input_tokens": 3}
    journal.put("run", "key", answer)
    journal.put("run", "key", {"text": "later"})
    journal.put("other", "key", {"text": "theirs"})
    database.dispose()
    reopened = open_database(url)
    assert StoredJournal(reopened, lambda: datetime(2026, 1, 2, tzinfo=UTC)).load_all("run") == {"key": answer}
    reopened.dispose()


def test_every_prompt_that_was_asked_is_kept_once() -> None:
    journal = MemoryJournal()
    model = ScriptedModel()
    result = run(SEARCHES[1], model, journal)
    kept = {key: value for key, value in journal.answers.items() if key.startswith(PROMPT_KEY)}
    asked = {context.prompt_version_id for context in model.contexts}
    assert {PromptVersion.from_content(value).id for value in kept.values()} == asked
    assert all(prompt_key(PromptVersion.from_content(value).id) == key for key, value in kept.items())
    assert len(asked) > len(result.candidates), "some were only tried on train rows"
    again = ScriptedModel()
    assert run(SEARCHES[1], again, journal).best.id == result.best.id
    assert again.requests == []
