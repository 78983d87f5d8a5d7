"""Functions of one's own as evaluators: imported when needed, their failures counted, their edits noticed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from evaluation.desk import LABELS, Desk, rows_of, task_of
from servers.openai_server import OpenAIServer

from domain.contracts import ChoiceContract, JsonContract, TextContract
from domain.errors import InputError
from domain.evaluators.registry import check_evaluators, check_expected
from domain.evaluators.specs import ExactMatchSpec, PythonSpec
from resources.compression.run import CompressionRun
from resources.evaluation.evaluators import evaluator_identity, open_evaluator
from resources.evaluation.python_functions import load_function

ROWS = rows_of(40)
Write = Callable[[str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes the module `house_rules.grading`."""
    folder = tmp_path / "code" / "house_rules"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder.parent))

    def put(source: str) -> None:
        (folder / "grading.py").write_text(source, encoding="utf-8")

    yield put
    for name in [name for name in sys.modules if name.startswith("house_rules")]:
        del sys.modules[name]


def spec(name: str = "grade") -> PythonSpec:
    return PythonSpec(path=f"house_rules.grading:{name}")


def test_a_function_sees_the_expected_value_the_parsed_answer_and_the_inputs(write: Write) -> None:
    write(
        "seen = []\ndef grade(expected, given, inputs):\n    seen.append((expected, given, inputs))\n    return 0.25\n"
    )
    contract = JsonContract(schema={"type": "object"})
    score = open_evaluator(spec(), contract).evaluator.score({"a": 1}, '```\n{"a": 2}\n```', {"text": "x"})

    assert sys.modules["house_rules.grading"].seen == [({"a": 1}, {"a": 2}, {"text": "x"})]
    assert (score.value, score.reason, score.parsed) == (0.25, "house_rules.grading:grade says 0.25", True)


@pytest.mark.parametrize(
    ("result", "value", "reason"),
    [
        ("True", 1.0, "says right"),
        ("False", 0.0, "says wrong"),
        ("1", 1.0, "says 1"),
        ("__import__('numpy').float32(0.5)", 0.5, "says 0.5"),
        ("Score(0.5, 'half of it')", 0.5, "half of it"),
    ],
)
def test_what_a_function_may_return(write: Write, result: str, value: float, reason: str) -> None:
    write(f"from domain.evaluators.score import Score\ndef grade(expected, given, inputs):\n    return {result}\n")
    score = open_evaluator(spec(), TextContract()).evaluator.score("x", "y")
    assert score.value == value
    assert reason in score.reason


def test_an_answer_that_breaks_the_contract_is_not_shown_to_the_function(write: Write) -> None:
    write("def grade(expected, given, inputs):\n    raise RuntimeError('asked')\n")
    evaluator = open_evaluator(spec(), ChoiceContract(choices=dict.fromkeys(LABELS, ""))).evaluator
    score = evaluator.score("shed", "the garden")
    assert (score.value, score.parsed) == (0.0, False)


@pytest.mark.parametrize(
    ("source", "path", "problem"),
    [
        ("", "no_such_package.grading:grade", "there is no module 'no_such_package.grading'"),
        ("", "house_rules.elsewhere:grade", "there is no module 'house_rules.elsewhere'"),
        ("def other(): ...", "house_rules.grading:grade", "module house_rules.grading has no 'grade'"),
        ("grade = 3", "house_rules.grading:grade", "is not a function"),
        ("class grade: ...", "house_rules.grading:grade", "is not a function"),
        ("def grade(a, b): ...", "house_rules.grading:grade", r"does not take \(expected, given, inputs\)"),
        ("async def grade(a, b, c): ...", "house_rules.grading:grade", "is asynchronous"),
        ("1 / 0", "house_rules.grading:grade", "importing house_rules.grading failed: ZeroDivisionError"),
        ("def grade(:", "house_rules.grading:grade", "importing house_rules.grading failed: SyntaxError"),
        ("", "math:sqrt", "module math has no source file"),
    ],
)
def test_what_cannot_be_imported_is_refused_clearly(write: Write, source: str, path: str, problem: str) -> None:
    write(source)
    with pytest.raises(InputError, match=problem) as caught:
        load_function(path)
    assert caught.value.field == "evaluators.python.path"
    assert caught.value.mend


@pytest.mark.parametrize("path", ["grading", "grading.grade", "a b:c", "grading:grade()", ":grade", "os:path.join"])
def test_a_path_is_module_colon_function(path: str) -> None:
    with pytest.raises(ValueError, match="path"):
        PythonSpec(path=path)


def test_a_task_file_is_checked_without_importing_anything(write: Write) -> None:
    write("raise RuntimeError('imported')")
    check_evaluators([spec(), spec("other")], TextContract())
    check_expected([spec()], TextContract(), "x")
    with pytest.raises(InputError, match="grade cannot score the expected value"):
        check_expected([spec()], TextContract(), " ")
    with pytest.raises(InputError, match="two evaluators are called grade"):
        check_evaluators([spec(), PythonSpec(path="elsewhere:grade")], TextContract())
    check_evaluators([spec(), PythonSpec(path="elsewhere:grade", name="other_grade"), ExactMatchSpec()], TextContract())
    assert "source_sha256" in evaluator_identity(spec())
    assert "house_rules.grading" not in sys.modules


def test_failures_are_counted_per_row(desk: Desk, server: OpenAIServer, write: Write) -> None:
    write(
        "def grade(expected, given, inputs):\n"
        "    number = int(inputs['text'].split()[1])\n"
        "    if number % 5 == 0:\n"
        "        raise KeyError('weight')\n"
        "    return 7 if number % 5 == 1 else 'good' if number % 5 == 2 else given == expected\n"
    )
    server.behaviour = lambda _: LABELS[0]
    done = desk.evaluate(task_of([spec().model_dump()]), ROWS)
    table = desk.examples(done)
    remainder = table["row_id"].str[1:].astype(int) % 5

    assert table[remainder <= 2]["score"].isna().all()
    assert set(table[remainder <= 2]["status"]) == {"evaluator_error"}
    assert table[remainder == 0]["problem"].str.contains("raised KeyError: 'weight'").all()
    assert table[remainder == 1]["problem"].str.contains("returned 7.0, which is not between 0 and 1").all()
    assert table[remainder == 2]["problem"].str.contains("returned 'good', which is neither").all()
    assert set(table[remainder > 2]["score"]) == {1.0}
    assert done.record.summary["problems"]["evaluator_error"] == (remainder <= 2).sum() > 0
    assert done.record.summary["metrics"]["grade"]["scored"] == (remainder > 2).sum()


def test_an_edited_evaluator_scores_again_and_asks_nothing(desk: Desk, server: OpenAIServer, write: Write) -> None:
    """Also within the second and the size that a cached .pyc is told apart by."""
    server.behaviour = lambda _: LABELS[0]
    write("def grade(expected, given, inputs): return 0.1\n")
    first = desk.evaluate(task_of([spec().model_dump()]), ROWS)
    asked = len(server.bodies)
    same = desk.evaluate(task_of([spec().model_dump()]), ROWS)
    write("def grade(expected, given, inputs): return 0.9\n")
    edited = desk.evaluate(task_of([spec().model_dump()]), ROWS)

    assert [one.record.score for one in (first, same, edited)] == pytest.approx([0.1, 0.1, 0.9])
    assert first.record.id == same.record.id != edited.record.id
    assert asked == len(server.bodies) == len(first.examples)
    assert edited.effort.reused == len(edited.examples)


def test_a_slow_import_happens_once(write: Write) -> None:
    write("import time\nLOADED = time.monotonic_ns()\ndef grade(expected, given, inputs): return LOADED > 0\n")
    first = load_function("house_rules.grading:grade")
    assert load_function("house_rules.grading:grade").function is first.function


def test_json_values_of_the_identity_name_the_source(write: Write) -> None:
    write("def grade(expected, given, inputs): return 1\n")
    one: dict[str, Any] = evaluator_identity(spec())
    write("def grade(expected, given, inputs): return 0\n")
    other = evaluator_identity(spec())
    assert {name for name in one if one[name] != other[name]} == {"source_sha256"}
    assert open_evaluator(spec(), TextContract()).identity == other
    assert one["source_sha256"] != load_function("house_rules.grading:grade").source_sha256


def test_an_edited_function_makes_another_compression_of_the_same_prompt(desk: Desk, write: Write) -> None:
    task = task_of([spec().model_dump()])
    dataset, production = desk.dataset(ROWS), desk.register(task, task.prompt.version())

    def run_id() -> str:
        with desk.database.session(read_only=True) as session:
            return CompressionRun(task, production, dataset, session).id

    write("def grade(expected, given):\n    return 1.0\n")
    first = run_id()
    assert run_id() == first
    write("def grade(expected, given):\n    return 0.0\n")
    assert run_id() != first
