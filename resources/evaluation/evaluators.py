"""From evaluator specs to evaluators that can score, and to what makes their scores theirs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domain.contracts import OutputContract
from domain.evaluators.python_function import PythonFunction
from domain.evaluators.registry import build_evaluator
from domain.evaluators.score import Evaluator
from domain.evaluators.specs import BuiltInSpec, EvaluatorSpec, PythonSpec
from resources.evaluation.python_functions import load_function, source_sha256


@dataclass(frozen=True, slots=True)
class OpenedEvaluator:
    """An evaluator, and all that decides its scores as JSON values: what `evaluator_identity` gave at that moment."""

    evaluator: Evaluator
    identity: dict[str, Any]


def open_evaluator(spec: BuiltInSpec | PythonSpec, contract: OutputContract) -> OpenedEvaluator:
    """The evaluator `spec` names, reading answers by `contract`; a function is imported now.

    Specs that ask a model need no opening.

    Raises:
        InputError: the two do not fit, or there is no such function.
    """
    if isinstance(spec, PythonSpec):
        loaded = load_function(spec.path)
        return OpenedEvaluator(PythonFunction(spec, contract, loaded.function), _identity(spec, loaded.source_sha256))
    return OpenedEvaluator(build_evaluator(spec, contract), _identity(spec))


def evaluator_identity(spec: EvaluatorSpec) -> dict[str, Any]:
    """All that decides its scores, as JSON values: the spec, and of a function the hash its source has now.

    Raises:
        InputError: the function's module is not there.
    """
    return _identity(spec, source_sha256(spec.path) if isinstance(spec, PythonSpec) else None)


def _identity(spec: EvaluatorSpec, source: str | None = None) -> dict[str, Any]:
    identity = spec.model_dump(mode="json")
    return identity if source is None else {**identity, "source_sha256": source}
