"""How a task file names its evaluators."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue, field_validator

from domain.evaluators.embedding_spec import EmbeddingSimilaritySpec
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.spec_base import SCORE_NAME_PATTERN, Spec

FUNCTION_PATH_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"


class ExactMatchSpec(Spec):
    """1 when the answer equals the expected one, white space (and, by default, case) apart."""

    kind: Literal["exact_match"] = "exact_match"
    ignore_case: bool = True


class ChoiceLabelSpec(Spec):
    """1 when the answer is the expected one of the declared labels."""

    kind: Literal["choice_label"] = "choice_label"


class ContainsSpec(Spec):
    """1 when the answer contains the expected text."""

    kind: Literal["contains"] = "contains"
    ignore_case: bool = True


class RegexSpec(Spec):
    """1 when the answer matches `pattern`; with a group, when that group equals the expected text."""

    kind: Literal["regex"] = "regex"
    pattern: str

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, value: str) -> str:
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value


class NumericSpec(Spec):
    """1 when the answer is the expected number within a tolerance."""

    kind: Literal["numeric"] = "numeric"
    absolute_tolerance: float = Field(default=1e-6, ge=0)
    relative_tolerance: float = Field(default=0.0, ge=0)


class JsonSchemaSpec(Spec):
    """1 when the answer is JSON that meets `schema` (the step's own contract when none is given)."""

    kind: Literal["json_schema"] = "json_schema"
    json_schema: dict[str, JsonValue] | None = Field(default=None, alias="schema")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, serialize_by_alias=True)


class JsonFieldsSpec(Spec):
    """The share of the expected object's fields that the answer has right."""

    kind: Literal["json_fields"] = "json_fields"
    fields: tuple[str, ...] = ()
    absolute_tolerance: float = Field(default=1e-6, ge=0)


class TokenF1Spec(Spec):
    """Harmonic mean of token precision and recall (the SQuAD measure)."""

    kind: Literal["token_f1"] = "token_f1"


class TextSimilaritySpec(Spec):
    """Cosine of answer and expected text as bags of character n-grams: likeness of wording, not of meaning."""

    kind: Literal["text_similarity"] = "text_similarity"
    ngram: int = Field(default=3, ge=1, le=8, description="Characters per n-gram.")
    ignore_case: bool = True


class PythonSpec(Spec):
    """A function of your own: `(expected, given, inputs) -> float | bool | Score`."""

    kind: Literal["python"] = "python"
    path: str = Field(pattern=FUNCTION_PATH_PATTERN, description="Where to import it: package.module:function.")
    name: str | None = Field(
        default=None, pattern=SCORE_NAME_PATTERN, description="What its scores are called; the function's name."
    )

    @property
    def score_name(self) -> str:
        """`name`, or the function's."""
        return self.name or self.path.partition(":")[2].strip("_").lower()[:50]


BuiltInSpec = (
    ExactMatchSpec
    | ChoiceLabelSpec
    | ContainsSpec
    | RegexSpec
    | NumericSpec
    | JsonSchemaSpec
    | JsonFieldsSpec
    | TokenF1Spec
    | TextSimilaritySpec
)
AskingSpec = JudgeSpec | EmbeddingSimilaritySpec
"""Evaluators that ask a model: their calls are paid for, and need no opening."""
EvaluatorSpec = Annotated[BuiltInSpec | PythonSpec | AskingSpec, Field(discriminator="kind")]
