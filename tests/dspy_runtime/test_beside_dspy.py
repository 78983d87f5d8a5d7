"""The comparison with plain DSPy compares what it says: the same search, and calls that really were made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.optimizer_runs import OURS, PLAIN
from benchmarks.optimizers import made_rows, run
from benchmarks.sorter import Sorter, _in_fields

ROWS = made_rows(40)


def test_both_sides_make_the_calls_that_the_provider_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(ROWS), encoding="utf-8")
    ours, plain = (run(side, "bootstrap_few_shot", path, 0.0, 4) for side in (OURS, PLAIN))
    assert ours.asked == ours.calls == ours.scored_calls > 0
    assert plain.asked == plain.scored_calls > plain.calls > 0
    assert ours.calls == plain.scored_calls
    assert ours.score == pytest.approx(plain.score, abs=1e-3), "they searched the same way; DSPy rounds"
    assert 0 < ours.nano_usd < plain.scored_nano_usd, "DSPy's messages are longer"


def test_the_scripted_model_says_the_same_to_either_format() -> None:
    model = Sorter(ROWS)
    for text in ROWS:
        ours = [{"role": "system", "content": "Sort."}, {"role": "user", "content": f"Question: {text}"}]
        asked = f"[[ ## text ## ]]\n{text}\n\nRespond with the corresponding output fields, starting with the field "
        asked += "`[[ ## label ## ]]`, and then ending with the marker for `[[ ## completed ## ]]`."
        theirs = [{"role": "system", "content": "Your input fields are:"}, {"role": "user", "content": asked}]
        label = model.answer({"messages": ours, "temperature": 0.0})
        assert model.answer({"messages": theirs, "temperature": 0.0}) == _in_fields({"label": label})
    answers = [model.answer({"messages": [{"role": "user", "content": f"Question: {text}"}]}) for text in ROWS]
    right = sum(answer == label for answer, label in zip(answers, ROWS.values(), strict=True))
    assert 0 < right < len(ROWS), "there is something to gain"


def test_a_draw_hangs_on_what_is_asked_and_how_often_and_on_nothing_else() -> None:
    asked = [{"messages": [{"role": "user", "content": f"Question: {text}"}], "temperature": 1.0} for text in ROWS]
    one, other = Sorter(ROWS), Sorter(ROWS)
    first = [one.answer(body) for body in asked]
    assert [other.answer(body) for body in reversed(asked)] == first[::-1]
    assert [one.answer(body) for body in asked] != first
