"""A call id leads to its money, its prompt, the run that made that, what it was trained on, and its row."""

from __future__ import annotations

from pathlib import Path

import pytest
from database.lineage_rows import NOW, ROWS, RUN, History, store_history
from upath import UPath

from domain.errors import InputError, NotFoundError
from resources.database.repositories import journal
from resources.database.session import Database
from resources.dspy_runtime.journal import prompt_key
from resources.lineage.call_trace import trace_call

FIRST = "1" * 32
SECOND = "1" * 8 + "2" * 24
KILLED = "3" * 32


@pytest.fixture
def history(database: Database, tmp_path: Path) -> History:
    return store_history(database, UPath(tmp_path))


def follow(history: History, reference: str):
    return trace_call(history.database, history.root, reference)


def test_an_answer_leads_back_to_the_rows_its_prompt_was_made_from(history: History):
    history.call(
        FIRST, "free", "ambiguous", "overrun", "settled", prompt_version_id=history.learned.id,
        dataset_version_id=history.second.id, row_id="row-0004",
    )  # fmt: skip
    found = follow(history, FIRST)
    assert [one.charge for one in found.money.attempts] == ["free", "ambiguous", "overrun", "settled"]
    assert (found.money.spent_nano_usd, found.money.ambiguous_nano_usd) == (140, 70)
    assert found.prompt is not None
    assert found.prompt.record is not None
    assert (found.prompt.record.version, found.prompt.role) == (2, "result")
    assert found.prompt.run is not None
    assert (found.prompt.run.id, found.prompt.trained_on) == (RUN, history.first)
    shown = [(one.step, one.number, one.row_id, one.split) for one in found.prompt.demonstrations]
    assert shown == [
        ("answer", 1, "row-0001", "train"),
        ("answer", 2, "row-0002", "train"),
        ("answer", 3, None, None),
    ]
    assert (found.dataset, found.row, found.missing, found.origin) == (history.second, ROWS[3], (), None)


def test_a_cached_answer_leads_to_the_call_that_paid(history: History):
    history.call(FIRST, "settled", prompt_version_id=history.authored.id)
    history.call(SECOND, origin_call_id=FIRST, cached=True, cost_nano_usd=0, prompt_version_id=history.authored.id)
    found = follow(history, SECOND)
    assert found.money.attempts == ()
    assert found.origin is not None
    assert (found.origin.call_id, found.origin.spent_nano_usd) == (FIRST, 70)
    assert found.origin.call is not None
    assert found.missing == ()


def test_a_prompt_that_a_person_wrote_was_made_by_no_run(history: History):
    history.call(FIRST, "settled", prompt_version_id=history.authored.id)
    found = follow(history, FIRST).prompt
    assert found is not None
    assert (found.run, found.role, found.trained_on, found.demonstrations) == (None, None, None, ())


@pytest.mark.parametrize(("version_id", "role"), [("a" * 64, "candidate"), ("b" * 64, "reference"), ("c" * 64, None)])
def test_a_prompt_nobody_kept_leads_to_the_run_that_tried_it(history: History, version_id: str, role: str | None):
    history.call(FIRST, "settled", prompt_version_id=version_id, run_id=RUN, dataset_version_id=history.first.id)
    found = follow(history, FIRST)
    assert found.prompt is not None
    assert found.prompt.record is None
    assert found.prompt.run is not None
    assert (found.prompt.run.id, found.prompt.role, found.prompt.trained_on) == (RUN, role, history.first)
    assert "no run's journal has its text" in found.missing[0]


def test_a_prompt_nobody_kept_is_shown_as_its_run_asked_it(history: History):
    step = history.learned.steps[0].model_copy(update={"system_prompt": "Try this."})
    tried = history.learned.with_steps((step,))
    with history.database.session() as session:
        journal.put_many(session, RUN, {prompt_key(tried.id): tried.content()}, now=NOW)
    history.call(FIRST, "settled", prompt_version_id=tried.id, run_id=RUN, dataset_version_id=history.first.id)
    found = follow(history, FIRST)
    assert found.prompt is not None
    assert (found.prompt.record, found.prompt.tried, found.missing) == (None, tried, ())
    assert [one.row_id for one in found.prompt.demonstrations] == ["row-0001", "row-0002", None]


def test_a_call_without_prompt_or_row_leads_to_its_money(history: History):
    history.call(FIRST, "settled", task=None, step=None)
    found = follow(history, FIRST)
    assert (found.prompt, found.dataset, found.row, found.missing) == (None, None, None, ())


def test_a_killed_call_is_found_by_its_attempts(history: History):
    history.attempt(KILLED, 1, "ambiguous")
    found = follow(history, KILLED[:6])
    assert (found.money.call_id, found.money.call, found.money.ambiguous_nano_usd) == (KILLED, None, 70)
    assert "was killed" in found.missing[0]


def test_the_beginning_of_an_id_is_enough_where_only_one_has_it(history: History):
    history.call(FIRST, "settled")
    assert follow(history, FIRST[:6]).money.call_id == FIRST
    history.call(SECOND, "settled")
    with pytest.raises(InputError, match=f"several calls' ids: {FIRST}, {SECOND}"):
        follow(history, FIRST[:8])
    assert follow(history, FIRST[:9]).money.call_id == FIRST
    assert follow(history, SECOND).money.call_id == SECOND


@pytest.mark.parametrize("reference", ["1" * 5, "f" * 32, "%", "", "' OR 1=1", "1" * 33])
def test_an_unknown_id_is_refused(history: History, reference: str):
    history.call(FIRST, "settled")
    with pytest.raises(NotFoundError, match="The ledger has no call") as caught:
        follow(history, reference)
    assert "at least its first 6 digits" in (caught.value.mend or "")


def test_rows_that_are_gone_are_named_and_the_rest_is_shown(history: History):
    history.call(
        FIRST, "settled", prompt_version_id=history.learned.id, dataset_version_id=history.first.id, row_id="row-0004"
    )
    (history.root / history.first.storage_path).unlink()
    found = follow(history, FIRST)
    assert (found.row, found.prompt is None, found.dataset) == (None, False, history.first)
    assert len(found.missing) == 2
    assert all("are gone" in sentence for sentence in found.missing)


def test_links_out_of_this_database_are_named(history: History):
    history.call(FIRST, origin_call_id="9" * 32, cached=True, dataset_version_id="7" * 64, row_id="row-0001")
    history.call(SECOND, "settled", dataset_version_id=history.first.id, row_id="row-0099")
    assert follow(history, FIRST).missing == (
        "The call that made the answer is not on this ledger.",
        "Dataset version 777777777777 is not registered in this database.",
    )
    assert follow(history, SECOND).missing == ("Dataset version v1 holds no row row-0099.",)
