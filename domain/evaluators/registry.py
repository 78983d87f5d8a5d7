"""From a task file's evaluator specs to evaluators, and the checks made before anything is paid for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from domain.contracts import OutputContract
from domain.errors import InputError
from domain.evaluators.choice_label import ChoiceLabel
from domain.evaluators.contains import Contains
from domain.evaluators.exact_match import ExactMatch
from domain.evaluators.expected import expected_value
from domain.evaluators.json_fields import JsonFields
from domain.evaluators.json_schema import JsonSchema
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.numeric import Numeric
from domain.evaluators.regex import Regex
from domain.evaluators.score import Evaluator, shown
from domain.evaluators.specs import (
    BuiltInSpec,
    ChoiceLabelSpec,
    ContainsSpec,
    EvaluatorSpec,
    ExactMatchSpec,
    JsonFieldsSpec,
    JsonSchemaSpec,
    NumericSpec,
    PythonSpec,
    RegexSpec,
    TextSimilaritySpec,
    TokenF1Spec,
)
from domain.evaluators.text_similarity import TextSimilarity
from domain.evaluators.token_f1 import TokenF1

OFFLINE = "offline"


def build_evaluator(spec: BuiltInSpec, contract: OutputContract) -> Evaluator:
    """The evaluator `spec` names, reading answers by `contract`.

    Those that need a function or a model of somebody else's are opened by `resources.evaluation.evaluators`.

    Raises:
        InputError: the two do not fit.
    """
    match spec:
        case ExactMatchSpec():
            return ExactMatch(spec, contract)
        case ChoiceLabelSpec():
            return ChoiceLabel(spec, contract)
        case ContainsSpec():
            return Contains(spec, contract)
        case RegexSpec():
            return Regex(spec, contract)
        case NumericSpec():
            return Numeric(spec, contract)
        case JsonSchemaSpec():
            return JsonSchema(spec, contract)
        case JsonFieldsSpec():
            return JsonFields(spec, contract)
        case TokenF1Spec():
            return TokenF1(spec, contract)
        case TextSimilaritySpec():
            return TextSimilarity(spec, contract)


def check_evaluators(specs: Sequence[EvaluatorSpec], contract: OutputContract) -> None:
    """Refuse evaluators that cannot read the answers, or two whose scores share a name.

    Raises:
        InputError: naming the evaluator and the mend.
    """
    twice = [name for name, count in Counter(spec.score_name for spec in specs).items() if count > 1]
    if twice:
        raise InputError(
            f"the scores of two evaluators are called {', '.join(twice)}",
            field="evaluators",
            mend="give kinds that take one a `name`, and keep one each of the others; a regex may list alternatives "
            "with `|`.",
        )
    for spec in specs:
        if not isinstance(spec, PythonSpec | JudgeSpec):
            build_evaluator(spec, contract)


def check_judge_model(model: str, kinds: Mapping[str, str], field: str) -> None:
    """Refuse a judge whose model cannot be had, or cannot judge.

    Args:
        kinds: of provider, by endpoint.

    Raises:
        InputError: naming `field` and the mend.
    """
    kind = kinds.get(model.partition("/")[0])
    if kind is not None and kind != OFFLINE:
        return
    what = "reads demonstrations only and can judge nothing" if kind == OFFLINE else "has no known provider"
    known = ", ".join(f"{name}/…" for name, kind in sorted(kinds.items()) if kind != OFFLINE)
    raise InputError(f"the judge's model {model} {what}", field=field, mend=f"write one of {known}.")


def check_expected(specs: Sequence[EvaluatorSpec], contract: OutputContract, expected: Any) -> None:
    """Refuse an expected value that one of the evaluators cannot score; such rows are quarantined.

    Raises:
        InputError: naming the evaluator, the value and the mend.
    """
    for spec in specs:
        try:
            _check_expected(spec, contract, expected)
        except InputError as error:
            raise InputError(
                f"{spec.score_name} cannot score the expected value {shown(expected)}: {error.problem}",
                field=error.field,
                mend=error.mend or "correct the row's expected value.",
            ) from error


def _check_expected(spec: EvaluatorSpec, contract: OutputContract, expected: Any) -> None:
    if isinstance(spec, PythonSpec | JudgeSpec):
        expected_value(contract, expected)  # what the function or the judge makes of it, only they know
    else:
        build_evaluator(spec, contract).check_expected(expected)
