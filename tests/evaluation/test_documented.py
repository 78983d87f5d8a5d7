"""docs/evaluators.md: every kind is there, and every example is one."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import yaml
from pydantic import TypeAdapter

from domain.contracts import TextContract
from domain.evaluators.python_function import PythonFunction, check_function
from domain.evaluators.row_score import ScoreStatus
from domain.evaluators.specs import AskingSpec, BuiltInSpec, EvaluatorSpec, PythonSpec
from domain.gate import GateRule

TEXT = (Path(__file__).parents[2] / "docs" / "evaluators.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("block", blocks("yaml"))
def test_every_yaml_example_is_accepted(block: str) -> None:
    value: Any = yaml.safe_load(block)
    if isinstance(value, dict) and "gate" in value:
        assert GateRule.model_validate(value["gate"]).pairwise is not None
        return
    specs = value["evaluators"] if isinstance(value, dict) else value
    assert TypeAdapter(list[EvaluatorSpec]).validate_python(specs)


def test_the_function_in_it_scores() -> None:
    (source,) = blocks("python")
    module = ModuleType("documented")
    exec(source, module.__dict__)
    spec = PythonSpec(path="shop_rules.tone:polite")
    polite = PythonFunction(spec, TextContract(), check_function(spec.path, module.__dict__["polite"]))
    scores = [polite.score("x", text).value for text in ("Hello, your parcel is on its way.", "What now", "Hello!")]
    assert scores == [1.0, 0.0, 0.0]


def test_every_kind_and_every_status_is_in_it() -> None:
    specs = (*get_args(BuiltInSpec), *get_args(AskingSpec), PythonSpec)
    kinds = {spec.model_fields["kind"].default for spec in specs}
    missing = [word for word in (*kinds, *map(str, ScoreStatus)) if f"`{word}`" not in TEXT]
    assert missing == []
