"""From an answer to its rows and back, over a loop that has run."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest


def test_an_answer_is_followed_to_its_rows_and_a_row_to_its_answers(looped):
    made = looped.run("prompt", "list", "tickets", "--json").value["versions"]
    learned = next(one for one in made if one["created_by"].startswith("optimizer"))
    text = "Where is parcel 77, it has not arrived?"
    asked = looped.run("call", "tickets", "--input", f"text={text}", "--version", learned["id"], "--json").value

    call = looped.run("trace", "call", asked["call_id"][:12], "--json").value
    assert call["call"]["purpose"] == "call"
    assert call["spent_nano_usd"] == asked["cost_nano_usd"] > 0
    assert (call["prompt"]["id"], call["prompt"]["role"]) == (learned["id"], "result")
    trained_on = call["prompt"]["trained_on"]["id"]
    assert call["prompt"]["optimization_run"]["dataset_version_id"] == trained_on
    shown = [one["row_id"] for one in call["prompt"]["demonstrations"]]
    assert len(shown) == learned["demonstrations"] > 0
    assert None not in shown

    row = looped.run("trace", "row", trained_on[:10], shown[0], "--json").value
    assert row["dataset_versions"][0]["split"] == "train"
    assert learned["id"] in [one["id"] for one in row["demonstration_in"]]
    assert set(row["calls_by_purpose"]) <= {"optimize"}
    assert row["evaluations"] == []
    scored = looped.run("trace", "row", "tickets", _row_of("dev", looped), "--json").value
    assert set(scored["calls_by_purpose"]) == {"optimize", "evaluate"}

    again = looped.run("call", "tickets", "--input", f"text={text}", "--version", learned["id"], "--json").value
    cached = looped.run("trace", "call", again["call_id"], "--json").value
    assert (cached["attempts"], cached["origin"]["call_id"]) == ([], asked["call_id"])

    for arguments, wanted in (
        (("call", again["call_id"]), f"made and paid for by call {asked['call_id']}"),
        (("call", asked["call_id"]), "as its result"),
        (("row", "tickets", shown[0]), "as number"),
    ):
        outcome = looped.run("trace", *arguments)
        assert outcome.code == 0
        assert wanted in " ".join(outcome.out.split())

    sealed = looped.run("trace", "row", "tickets", _row_of("test", looped), "--json").value
    assert set(sealed["calls_by_purpose"]) == {"evaluate"}
    evaluated = sealed["evaluations"][0]
    assert evaluated["split"] == "test"
    back = looped.run("trace", "call", evaluated["call_ids"][-1], "--json").value
    assert back["call"]["purpose"] == "evaluate"
    assert back["row"]["expected"] == evaluated["expected"]


def test_a_call_of_a_candidate_that_was_dropped_leads_to_its_text(looped):
    kept = {one["id"] for one in looped.run("prompt", "list", "tickets", "--json").value["versions"]}
    made = looped.run("trace", "row", "tickets", _row_of("dev", looped), "--json").value["calls"]
    dropped = next(one for one in made if one["purpose"] == "optimize" and one["prompt_version_id"] not in kept)

    call = looped.run("trace", "call", dropped["call_id"], "--json").value
    assert call["prompt"]["version"] is None
    assert call["missing"] == []
    step = call["prompt"]["tried"]["steps"][0]
    assert len(step["demonstrations"]) == len(call["prompt"]["demonstrations"]) > 0
    said = " ".join(looped.run("trace", "call", dropped["call_id"]).out.split())
    assert "tried and not kept" in said
    assert step["system_prompt"].split("\n")[0] in said


def _row_of(split: str, place) -> str:
    (snapshot,) = (place.root / "home" / "storage" / "datasets").glob("*.parquet")
    return pq.read_table(snapshot, filters=[("split", "==", split)])["row_id"][0].as_py()


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("call", "0123456789"), "The ledger has no call"),
        (("row", "tickets", "none"), "No row 'none'"),
        (("row", "nowhere", "none"), "no task and no dataset version"),
        (("row", "tickets@v9", "none"), "no dataset version 'v9'"),
    ],
)
def test_what_is_unknown_is_one_clear_error(workshop, arguments, problem):
    workshop.write_task()
    assert workshop.run("ingest", "tickets").code == 0

    outcome = workshop.run("trace", *arguments)

    assert outcome.code == 2
    assert problem in outcome.err
    assert "Traceback" not in outcome.err
