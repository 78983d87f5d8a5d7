"""Comparing two versions on the rows both were evaluated on."""

from __future__ import annotations

import json


def test_two_versions_are_compared_on_the_terminal_and_as_a_page(looped, tmp_path):
    page = tmp_path / "out" / "page.html"
    versions = looped.run("prompt", "list", "tickets", "--json").value["versions"]
    learned = next(one for one in versions if one["created_by"].startswith("optimizer"))

    found = looped.run("prompt", "compare", "tickets", "v1", learned["id"], "--html", str(page), "--json").value

    paired = found["paired"]
    assert paired["wins"] == len(found["better"])
    assert paired["losses"] == len(found["worse"])
    assert found["split"] in ("dev", "test")
    assert sum(line["rows"] for line in found["by_label"]) == paired["n"]
    assert round(found["b"]["score"]["score"] - found["a"]["score"]["score"], 9) == round(paired["difference"], 9)
    html = page.read_text(encoding="utf-8")
    assert f"tickets: v1 → v{learned['version']}" in html
    assert "Choose the team." in html

    shown = looped.run("prompt", "compare", "tickets", "v1", learned["id"], "--split", "dev")
    assert "On the dev split" in shown.out
    diff = looped.run("prompt", "diff", "tickets", "v1", learned["id"], "--json").value
    assert diff["difference"] == paired


def test_the_evaluation_leaves_a_page_a_person_can_open(looped):
    again = looped.run("evaluate", "tickets", "--json").value

    (page,) = (looped.root / "home" / "storage" / "reports").glob("*.html")
    assert again["report"] == str(page)
    assert again["decision"]["id"].startswith(page.stem)
    assert again["decision"]["reason"].split("'")[0] in page.read_text(encoding="utf-8")
    assert json.dumps(again)


def test_what_cannot_be_compared_is_one_clear_error_or_a_note(looped, tmp_path):
    unwritable = tmp_path / "file"
    unwritable.write_text("x")
    for arguments, problem in (
        (("v1", "v9"), "no prompt version 'v9'"),
        (("v1", "v2", "--split", "train"), "no split to compare on"),
        (("v1", "v1", "--html", str(unwritable / "page.html")), "cannot be written"),
    ):
        outcome = looped.run("prompt", "compare", "tickets", *arguments)
        assert outcome.code == 2
        assert problem in outcome.err
    for evaluated in (looped.root / "home" / "storage" / "evaluations").glob("*"):
        evaluated.unlink()
    assert "are gone" in looped.run("prompt", "compare", "tickets", "v1", "v1").out


def test_a_plan_says_what_the_next_look_can_show_and_pays_nothing(looped):
    spent = looped.run("cost", "--json").value["total"]
    plan = looped.run("evaluate", "tickets", "--plan", "--json").value

    assert (plan["rows"], plan["look"]) == (12, 2)
    assert "This test split of 12 rows can" in " ".join(looped.run("evaluate", "tickets", "--plan").out.split())
    assert looped.run("task", "show", "tickets", "--json").value["gate_plan"]["sentences"] == plan["sentences"]
    assert looped.run("cost", "--json").value["total"] == spent
    assert "has no dataset version yet" in _fresh(looped).err


def _fresh(looped):
    text = (looped.tasks / "tickets.yaml").read_text().replace("name: tickets", "name: fresh")
    (looped.tasks / "fresh.yaml").write_text(text)
    return looped.run("evaluate", "fresh", "--plan")


def test_compressing_shows_what_was_tried_and_draws_it(looped):
    found = looped.run("compress", "tickets", "--json").value
    again = looped.run("compress", "tickets", "--json").value

    assert found["trials"][0]["change"] == "as it is"
    assert len(found["trials"]) > 1
    assert any(one["on_front"] for one in found["trials"])
    picture = looped.root / "home" / "storage" / "reports" / f"{found['run_id'][:12]}.svg"
    assert found["picture"].endswith(picture.name)
    assert picture.stat().st_size > 1_000
    assert found["promoted"] is False, "12 rows cannot show that it is not worse"
    assert (again["trials"], again["run_id"]) == (found["trials"], found["run_id"])
    assert "Variants on dev" in looped.run("compress", "tickets").out
    assert looped.run("compress", "nothing").code == 2
