"""From evaluator specs to evaluators that can score, and to what makes their scores theirs."""

from __future__ import annotations

from typing import Any

from domain.contracts import OutputContract
from domain.errors import InputError
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.python_function import PythonFunction
from domain.evaluators.registry import JUDGE_AS_METRIC, JUDGE_AS_METRIC_MEND, build_evaluator
from domain.evaluators.score import Evaluator
from domain.evaluators.specs import EvaluatorSpec, PythonSpec
from resources.evaluation.python_functions import load_function, source_sha256


def open_evaluator(spec: EvaluatorSpec, contract: OutputContract) -> Evaluator:
    """The evaluator `spec` names, reading answers by `contract`; a function is imported now.

    Raises:
        InputError: the two do not fit, there is no such function, or it is a judge, which needs more than an answer.
    """
    if isinstance(spec, JudgeSpec):
        raise InputError(JUDGE_AS_METRIC, field="evaluators", mend=JUDGE_AS_METRIC_MEND)
    if isinstance(spec, PythonSpec):
        return PythonFunction(spec, contract, load_function(spec.path).function)
    return build_evaluator(spec, contract)


def evaluator_identity(spec: EvaluatorSpec) -> dict[str, Any]:
    """All that decides its scores, as JSON values: the spec, and of a function the source's hash.

    Raises:
        InputError: the function's module is not there.
    """
    identity = spec.model_dump(mode="json")
    return {**identity, "source_sha256": source_sha256(spec.path)} if isinstance(spec, PythonSpec) else identity
