"""What a prompt's answer to a row scores: by an evaluator, or by a model whose calls are the run's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from domain.dataset import Row
from domain.errors import EvaluatorError, OutputParseError
from domain.evaluators.embedding_score import TEXT_FIELD, compared_texts, embedding_prompt, similarity_score
from domain.evaluators.embedding_spec import EmbeddingSimilaritySpec
from domain.evaluators.judge_prompt import graded_fields, grading_prompt
from domain.evaluators.judge_score import Judgement, judged_score
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.score import Evaluator, Score, unparsable
from domain.evaluators.specs import AskingSpec
from domain.message import Message
from domain.parsing import parse_output
from domain.prompt import PromptStep, PromptVersion
from domain.rendering import StepRenderer
from resources.dspy_runtime.calls import JUDGING, Draw, RunCalls, TaskCall
from resources.llm.prompt_request import build_request

# A judge that gives no readable grade is asked again so often, each time for another draw.
JUDGE_ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Given:
    """A prompt's answer to a row.

    Attributes:
        text: the last step's answer, verbatim; empty where an earlier step broke its contract.
        broken: the step whose answer broke its contract, if one did.
    """

    row: Row
    text: str
    version: PromptVersion
    broken: str | None


class RowScores(Protocol):
    """Scores answers; the same answer to the same row always scores the same within a run."""

    def score(self, given: Given) -> Score:
        """The score as an evaluation would give it.

        Raises:
            EvaluatorError: there is none: the evaluator or the model it asks failed.
            InputError: the row's expected answer cannot be scored.
            OptimizationHalted: a call to that model got no answer.
        """
        ...


def row_scores(evaluator: Evaluator | AskingSpec, prompt: PromptVersion, calls: RunCalls) -> RowScores:
    """How answers of `prompt`, and of every variant of it, are scored."""
    if isinstance(evaluator, JudgeSpec):
        return JudgeScores(evaluator, prompt, calls)
    if isinstance(evaluator, EmbeddingSimilaritySpec):
        return EmbeddingScores(evaluator, prompt, calls)
    return EvaluatorScores(evaluator)


class EvaluatorScores:
    """Scores of an evaluator that needs no model."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator

    def score(self, given: Given) -> Score:
        """See `RowScores.score`."""
        return self._evaluator.score(given.row.output, given.text, given.row.inputs)


class JudgeScores:
    """Scores of a judge. It is sent what an evaluation sends it, through the run's calls: journal, caps and all.

    Judgements that evaluations stored are not looked at: what a run finds shall follow from its own journal, wherever
    it is run. A judge error is never a score: an optimizer would take any number for the prompt's merit.
    """

    def __init__(self, spec: JudgeSpec, prompt: PromptVersion, calls: RunCalls) -> None:
        self._spec = spec
        self._last = prompt.steps[-1]
        self._calls = calls
        self._prompt = grading_prompt(spec)
        self._renderer = StepRenderer(self._prompt.steps[0])

    def score(self, given: Given) -> Score:
        """See `RowScores.score`. An answer that breaks its contract scores 0 and is not shown to the judge."""
        unreadable = _unreadable(given, self._last)
        if unreadable is not None:
            return unreadable
        fields = graded_fields(self._spec, given.row.inputs, given.row.output, self._last.output, given.text)
        messages = self._renderer.render(fields)
        task = TaskCall(given.version, given.row.row_id, f"{JUDGING}:{self._spec.name}", purpose=JUDGING)
        reason = ""
        for number in range(JUDGE_ROUNDS):
            judgements = [self._judgement(messages, number, sample, task) for sample in range(self._spec.samples)]
            found = judged_score(self._spec, judgements)
            if found.value is not None:
                return Score(found.value, found.reason)
            reason = found.reason
        raise EvaluatorError(
            f"the judge {self._spec.name} gave no readable grade of an answer to row {given.row.row_id}, asked "
            f"{JUDGE_ROUNDS} times: {reason}",
            field="evaluators",
            mend="correct the judge (model, rubric, max_output_tokens) and run again, which starts a new run; or mend "
            "the row.",
        )

    def _judgement(self, messages: tuple[Message, ...], number: int, sample: int, task: TaskCall) -> Judgement:
        request = build_request(self._prompt, messages)
        # The plain first answer at temperature 0 is the one an evaluation asks for; all others are the run's own draws.
        plain = number == 0 and request.temperature == 0
        answer = self._calls.answer(request, Draw(None if plain else number, sample), task)
        return Judgement(answer["text"], answer.get("refused"))


class EmbeddingScores:
    """Scores of an embedding similarity. Vectors are the run's own calls, as a judge's are: one for each new text."""

    def __init__(self, spec: EmbeddingSimilaritySpec, prompt: PromptVersion, calls: RunCalls) -> None:
        self._spec = spec
        self._last = prompt.steps[-1]
        self._calls = calls
        self._prompt = embedding_prompt(spec)
        self._renderer = StepRenderer(self._prompt.steps[0])

    def score(self, given: Given) -> Score:
        """See `RowScores.score`. An answer that breaks its contract or is empty scores 0 and is not embedded."""
        unreadable = _unreadable(given, self._last)
        if unreadable is not None:
            return unreadable
        texts = compared_texts(self._last.output, given.row.output, given.text)
        settled = texts.settled()
        if settled is not None:
            return settled
        found = similarity_score(self._spec, self._vector(texts.given, given), self._vector(texts.expected, given))
        if found.value is not None:
            return Score(found.value, found.reason)
        raise EvaluatorError(
            f"{self._spec.name} has no score for an answer to row {given.row.row_id}: {found.reason}",
            field="evaluators",
            mend="name a model that takes such texts, which starts a new run; or mend the row.",
        )

    def _vector(self, text: str, given: Given) -> Judgement:
        request = build_request(self._prompt, self._renderer.render({TEXT_FIELD: text}))
        task = TaskCall(given.version, given.row.row_id, f"{JUDGING}:{self._spec.name}", purpose=JUDGING)
        answer = self._calls.answer(request, Draw(), task)
        return Judgement(answer["text"], answer.get("refused"))


def _unreadable(given: Given, last: PromptStep) -> Score | None:
    """The 0 of an answer that breaks its contract, or an earlier step's; None where it can be read."""
    if given.broken is not None and given.broken != last.name:
        return Score(0.0, f"the answer of step {given.broken} breaks its contract", parsed=False)
    try:
        parse_output(last.output, given.text)
    except OutputParseError as error:
        return unparsable(error)
    return None
