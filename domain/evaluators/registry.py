"""From a task file's evaluator specs to evaluators, and the checks made before anything is paid for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from domain.contracts import OutputContract
from domain.errors import InputError
from domain.evaluators.choice_label import ChoiceLabel
from domain.evaluators.contains import Contains
from domain.evaluators.exact_match import ExactMatch
from domain.evaluators.json_fields import JsonFields
from domain.evaluators.json_schema import JsonSchema
from domain.evaluators.numeric import Numeric
from domain.evaluators.regex import Regex
from domain.evaluators.score import Evaluator, shown
from domain.evaluators.specs import (
    ChoiceLabelSpec,
    ContainsSpec,
    EvaluatorSpec,
    ExactMatchSpec,
    JsonFieldsSpec,
    JsonSchemaSpec,
    NumericSpec,
    RegexSpec,
    TokenF1Spec,
)
from domain.evaluators.token_f1 import TokenF1


def build_evaluator(spec: EvaluatorSpec, contract: OutputContract) -> Evaluator:
    """The evaluator `spec` names, reading answers by `contract`.

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


def check_evaluators(specs: Sequence[EvaluatorSpec], contract: OutputContract) -> None:
    """Refuse evaluators that cannot read the answers, or two of one kind (their scores share a name).

    Raises:
        InputError: naming the evaluator and the mend.
    """
    twice = [kind for kind, count in Counter(spec.kind for spec in specs).items() if count > 1]
    if twice:
        raise InputError(
            f"there are two evaluators of kind {', '.join(twice)}",
            field="evaluators",
            mend="keep one of each kind; a regex may list alternatives with `|`.",
        )
    for spec in specs:
        build_evaluator(spec, contract)


def check_expected(specs: Sequence[EvaluatorSpec], contract: OutputContract, expected: Any) -> None:
    """Refuse an expected value that one of the evaluators cannot score; such rows are quarantined.

    Raises:
        InputError: naming the evaluator, the value and the mend.
    """
    for spec in specs:
        try:
            build_evaluator(spec, contract).check_expected(expected)
        except InputError as error:
            raise InputError(
                f"{spec.kind} cannot score the expected value {shown(expected)}: {error.problem}",
                field=error.field,
                mend=error.mend or "correct the row's expected value.",
            ) from error
