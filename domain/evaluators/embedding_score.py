"""From an answer and an expected text to the texts a model embeds, and from their vectors to a score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from domain.contracts import OutputContract
from domain.errors import OutputParseError
from domain.evaluators.embedding_spec import EmbeddingSimilaritySpec
from domain.evaluators.expected import answer_text, expected_text
from domain.evaluators.judge_score import Judgement
from domain.evaluators.row_score import RowScore, ScoreStatus
from domain.evaluators.score import Score
from domain.evaluators.vectors import cosine, read_vector
from domain.prompt import PromptParameters, PromptStep, PromptVersion

TEXT_FIELD = "text"


@dataclass(frozen=True, slots=True)
class ComparedTexts:
    """An answer and what was expected, both trimmed, as they are embedded."""

    given: str
    expected: str

    def settled(self) -> Score | None:
        """The score that needs no vector; None where vectors are needed.

        No model embeds an empty text, and the cosine of a text with itself is known.
        """
        if not self.given:
            return Score(0.0, "the answer is empty")
        return Score(1.0, "the expected text itself") if self.given == self.expected else None


def compared_texts(contract: OutputContract, expected: Any, answer: str) -> ComparedTexts:
    """The texts of one row; of an answer that reasons first, its final part.

    Raises:
        InputError: `expected` is blank or no text.
        OutputParseError: the contract asks for reasoning first, and no final part follows it.
    """
    return ComparedTexts(answer_text(contract, answer), expected_text(expected).strip())


def embedding_prompt(spec: EmbeddingSimilaritySpec) -> PromptVersion:
    """The prompt that stands for "embed this text": the text and nothing else; its id is that of model and length."""
    step = PromptStep(name="embed", output_prompt=f"{{{{ {TEXT_FIELD} }}}}")
    extra: dict[str, JsonValue] = {} if spec.dimensions is None else {"dimensions": spec.dimensions}
    # A vector is billed by its input alone. One token of answer is the least a request may ask for.
    return PromptVersion(steps=(step,), model=spec.model, parameters=PromptParameters(max_output_tokens=1, extra=extra))


def similarity_score(spec: EmbeddingSimilaritySpec, given: Judgement, expected: Judgement) -> RowScore:
    """The score of two vectors; none where one is missing or is no vector: that is no fault of the prompt's."""
    for what, vector in (("answer", given), ("expected text", expected)):
        if vector.refused is not None:
            return _failed(f"{spec.model} refused to embed the {what}: {vector.refused}")
    try:
        found = cosine(read_vector(given.text), read_vector(expected.text))
    except OutputParseError as error:
        return _failed(f"{spec.model}: {error.problem}")
    return RowScore(spec.value(found), f"cosine {found:.3f}")


def _failed(reason: str) -> RowScore:
    return RowScore(None, reason, ScoreStatus.EVALUATOR_ERROR)
