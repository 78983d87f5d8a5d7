"""A row leads to every dataset version, evaluation and call it touched, and to the prompts that show it."""

from __future__ import annotations

from pathlib import Path

import pytest
from database.lineage_rows import NOW, TASK, History, store_dataset, store_history
from upath import UPath

from domain.dataset import Split, SplitFractions, make_row
from domain.errors import InputError, NotFoundError
from domain.prompt import Demonstration, PromptStep
from resources.database.repositories import dataset_versions, prompt_versions
from resources.database.session import Database
from resources.lineage.demonstrations import rows_shown
from resources.lineage.row_trace import RowTrace, trace_row
from resources.storage.datasets import DatasetStore


@pytest.fixture
def history(database: Database, tmp_path: Path) -> History:
    return store_history(database, UPath(tmp_path))


def follow(history: History, where: str, reference: str) -> RowTrace:
    return trace_row(history.database, history.root, where, reference)


def test_a_row_leads_to_every_version_that_holds_it(history: History):
    found = follow(history, TASK, "row-0002")
    assert [(one.dataset.version, one.row.inputs["text"]) for one in found.versions] == [(2, "two, edited"), (1, "two")]
    assert {str(one.row.split) for one in found.versions} == {"train"}
    assert [one.dataset.version for one in follow(history, TASK, "row-0006").versions] == [2]


def test_a_row_leads_to_the_evaluations_of_its_split(history: History):
    of_dev, of_test = follow(history, TASK, "row-0003"), follow(history, TASK, "row-0004")
    assert [one.evaluation.id[0] for one in of_dev.results] == ["0", "1"]
    assert [(one.evaluation.id[0], one.example.row_id) for one in of_test.results] == [("2", "row-0004")]
    assert of_test.prompts == {history.learned.id: of_test.prompts[history.learned.id]}
    assert follow(history, TASK, "row-0001").results == ()


def test_a_row_leads_to_its_calls_and_no_others(history: History):
    at_row = {"row_id": "row-0003", "dataset_version_id": history.first.id}
    history.call("1" * 32, "settled", **at_row, purpose="optimize")
    history.call("2" * 32, origin_call_id="1" * 32, cached=True, **at_row)
    history.call("3" * 32, "settled", **{**at_row, "row_id": "row-0004"})
    history.call("4" * 32, "settled", **at_row, task="another")
    history.call("5" * 32, "settled", row_id="row-0003", batch_id="b")
    history.call("6" * 32, "settled", row_id="row-0003")
    found = follow(history, TASK, "row-0003")
    assert [(call.call_id[0], call.purpose) for call in found.calls] == [("1", "optimize"), ("2", "evaluate")]


def test_a_call_typed_by_hand_counts_where_ids_follow_from_the_text(history: History):
    nameless = make_row({"text": "nameless"}, "yes", None, SplitFractions())
    store_dataset(history.database, history.root, (nameless,))
    history.call("1" * 32, "settled", row_id=nameless.row_id, purpose="call")
    history.call("2" * 32, "settled", row_id=nameless.row_id, batch_id="b")
    assert [call.call_id[0] for call in follow(history, TASK, nameless.row_id).calls] == ["1"]


def test_a_row_leads_to_the_prompts_that_show_it(history: History):
    shown = [(one.prompt.id, one.step, one.number) for one in follow(history, TASK, "row-0002").shown_in]
    assert shown == [(history.learned.id, "answer", 2)]
    assert follow(history, TASK, "row-0003").shown_in == ()


def test_only_the_one_row_that_a_demonstration_can_be_is_told(history: History):
    """The second step reads the channel, which all rows have in common, and an answer of the first."""
    later = PromptStep(
        name="reply",
        output_prompt="{{ channel }} {{ answer }}",
        demonstrations=(Demonstration(inputs={"channel": "mail", "answer": "no"}, output="no"),),
    )
    (first,) = history.learned.steps
    both = history.learned.with_steps((first.model_copy(update={"name": "answer"}), later))
    with history.database.session() as session:
        prompt_versions.register(session, TASK, both, created_by="optimizer:x", now=NOW)

    of_two, of_six = follow(history, TASK, "row-0002"), follow(history, TASK, "row-0006")

    assert sorted({(one.step, one.number) for one in of_two.shown_in}) == [("answer", 2)]
    assert {one.prompt.id for one in of_two.shown_in} == {history.learned.id, both.id}
    assert of_six.shown_in == ()
    rows = DatasetStore(history.root).read(history.first, [Split.TRAIN, Split.DEV])
    shown = [(one.step, one.row_id, one.split, one.alike) for one in rows_shown(both, rows)]
    assert shown == [
        ("answer", "row-0001", "train", 1),
        ("answer", "row-0002", "train", 1),
        ("answer", None, None, 0),
        ("reply", None, None, 3),
    ]


@pytest.mark.parametrize("where", [TASK, f"{TASK}@v1", f"{TASK}@1", "first", "prefix"])
def test_a_row_is_named_in_a_task_or_a_version(history: History, where: str):
    where = {"first": history.first.id, "prefix": history.first.id[:8]}.get(where, where)
    found = follow(history, where, "row-0001")
    assert [one.dataset.version for one in found.versions] == [2, 1]


def test_the_version_named_must_hold_the_row(history: History):
    with pytest.raises(NotFoundError, match="No row 'row-0006' is in dataset v1 of task 'triage'"):
        follow(history, history.first.id, "row-0006")


def test_the_beginning_of_a_row_id_is_enough_where_only_one_has_it(history: History):
    rows = [make_row({"text": text}, "yes", f"abcdef{text}", SplitFractions()) for text in ("1", "2x")]
    store_dataset(history.database, history.root, tuple(rows))
    assert follow(history, TASK, "abcdef2").row_id == "abcdef2x"
    with pytest.raises(InputError, match="beginning of 2 row ids: abcdef1, abcdef2x"):
        follow(history, TASK, "abcdef")
    for unknown in ("abcde", "", "row-9"):
        with pytest.raises(NotFoundError, match="No row"):
            follow(history, TASK, unknown)


def test_unknown_and_ambiguous_places_are_refused(history: History):
    with pytest.raises(NotFoundError, match="no task and no dataset version 'nowhere'"):
        follow(history, "nowhere", "row-0001")
    with pytest.raises(NotFoundError, match="no dataset version 'v9'"):
        follow(history, f"{TASK}@v9", "row-0001")


def test_one_snapshot_of_two_tasks_asks_which(history: History):
    first = history.first
    with history.database.session() as session:
        dataset_versions.register(
            session, "other", first.id, storage_path=first.storage_path, rows=5, split_rows={}, quarantined=0,
            sources=[], now=NOW,
        )  # fmt: skip
    with pytest.raises(InputError, match=r"several dataset versions' ids: other@v1 .*, triage@v1"):
        follow(history, first.id[:10], "row-0001")
    assert follow(history, "other@v1", "row-0001").task == "other"


def test_files_that_are_gone_are_named_and_the_rest_is_shown(history: History):
    for path in (*(history.root / "evaluations").glob("*"), history.root / history.second.storage_path):
        path.unlink()
    found = follow(history, f"{TASK}@v1", "row-0003")
    assert [one.dataset.version for one in found.versions] == [1]
    assert found.results == ()
    assert len(found.missing) == 2


def test_a_row_of_test_is_found_like_any_other(history: History):
    found = follow(history, TASK, "row-0005")
    assert found.versions[0].row.split is Split.TEST
