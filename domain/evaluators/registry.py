"""From a task file's evaluator specs to evaluators, and the checks made before anything is paid for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from domain.contracts import OutputContract
from domain.errors import InputError
from domain.evaluators.choice_label import ChoiceLabel
from domain.evaluators.contains import Contains
from domain.evaluators.embedding_spec import EMBEDDINGS, EmbeddingSimilaritySpec
from domain.evaluators.exact_match import ExactMatch
from domain.evaluators.expected import expected_text, expected_value
from domain.evaluators.json_fields import JsonFields
from domain.evaluators.json_schema import JsonSchema
from domain.evaluators.numeric import Numeric
from domain.evaluators.regex import Regex
from domain.evaluators.score import Evaluator, shown
from domain.evaluators.specs import (
    AskingSpec,
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
_NO_WRITERS = frozenset({OFFLINE, EMBEDDINGS})


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
        if not isinstance(spec, PythonSpec | AskingSpec):
            build_evaluator(spec, contract)


def check_judge_model(model: str, kinds: Mapping[str, str], field: str) -> None:
    """Refuse a judge whose model cannot be had, or cannot judge.

    Args:
        kinds: of provider, by endpoint.

    Raises:
        InputError: naming `field` and the mend.
    """
    kind = kinds.get(model.partition("/")[0])
    if kind is not None and kind not in _NO_WRITERS:
        return
    what = {
        None: "has no known provider",
        OFFLINE: "reads demonstrations only and can judge nothing",
        EMBEDDINGS: "turns texts into vectors and can judge nothing",
    }[kind]
    known = ", ".join(f"{name}/…" for name, kind in sorted(kinds.items()) if kind not in _NO_WRITERS)
    raise InputError(f"the judge's model {model} {what}", field=field, mend=f"write one of {known}.")


def check_embedding_model(model: str, kinds: Mapping[str, str], field: str) -> None:
    """Refuse an embedding similarity whose model is none of an endpoint that gives vectors.

    Args:
        kinds: of provider, by endpoint.

    Raises:
        InputError: naming `field` and the mend.
    """
    endpoint = model.partition("/")[0]
    if kinds.get(endpoint) == EMBEDDINGS:
        return
    known = ", ".join(f"{name}/…" for name, kind in sorted(kinds.items()) if kind == EMBEDDINGS)
    raise InputError(
        f"{model} gives no vectors: {endpoint} is no endpoint of the kind embeddings",
        field=field,
        mend=f"name an embedding model, written {known}; an endpoint of another name says `provider: embeddings` in "
        "promptory.yaml.",
    )


def check_writing_model(model: str, kinds: Mapping[str, str], field: str) -> None:
    """Refuse an embedding model where a model has to answer in words.

    Args:
        kinds: of provider, by endpoint.

    Raises:
        InputError: naming `field` and the mend.
    """
    if kinds.get(model.partition("/")[0]) == EMBEDDINGS:
        raise InputError(
            f"{model} turns texts into vectors and cannot answer a prompt",
            field=field,
            mend="name a language model; embedding models are for the evaluator embedding_similarity.",
        )


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
    if isinstance(spec, EmbeddingSimilaritySpec):
        expected_text(expected)
    elif isinstance(spec, PythonSpec | AskingSpec):
        expected_value(contract, expected)  # what the function or the judge makes of it, only they know
    else:
        build_evaluator(spec, contract).check_expected(expected)
