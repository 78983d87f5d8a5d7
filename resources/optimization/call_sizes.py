"""How many tokens the calls of an optimization run have: as expected, and at most.

At most: texts of rows and of the prompt by their bytes (see `providers.tokens`), generated texts by their token limit,
four bytes each; what is shown inside a proposal twice that, since it is escaped there. Expected: four bytes a token,
half of the demonstrations there may be, rows and answers of mean length.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from domain.dataset import Row
from domain.evaluators.embedding_score import TEXT_FIELD, embedding_prompt
from domain.evaluators.embedding_spec import EmbeddingSimilaritySpec
from domain.evaluators.judge_prompt import grading_prompt, row_fields
from domain.evaluators.judge_spec import JudgeSpec
from domain.optimization_plan import Range, StageCalls
from domain.parsing import format_output
from domain.prompt import Demonstration, PromptStep, PromptVersion
from domain.rendering import StepRenderer
from resources.dspy_runtime.calls import PROPOSAL_MAX_OUTPUT_TOKENS
from resources.llm.prompt_request import build_request
from resources.llm.providers.tokens import byte_token_bound

BYTES_PER_TOKEN = 4
# What DSPy says itself in a proposal's request: field names, instructions, formats. SIMBA's is the longest, 6 kB.
FRAME_BYTES = 12_000
FEEDBACK_BYTES = 2_500
EXPECTED_WRITTEN_TOKENS = 250
EXPECTED_REASONING_TOKENS = 120
EXPECTED_JUDGEMENT_TOKENS = 60
_ESCAPED = 2


@dataclass(frozen=True, slots=True)
class CallSize:
    """Tokens of one call."""

    input_tokens: Range
    output_tokens: Range


class RowSizes:
    """Bytes of the rows a run may show or ask about."""

    def __init__(self, prompt: PromptVersion, rows: Sequence[Row]) -> None:
        self._prompt = prompt
        self.rows = rows
        self.longest = max(rows, key=_input_bytes)
        self.median = sorted(rows, key=_input_bytes)[len(rows) // 2]
        answers = [len(format_output(prompt.steps[-1].output, row.output).encode()) for row in rows]
        self.mean_input = round(fmean(_input_bytes(row) for row in rows))
        self.mean_answer, self.longest_answer = round(fmean(answers)), max(answers)

    @property
    def generated(self) -> int:
        """Bytes of the longest answer a step can give, labelled answers included."""
        return max(BYTES_PER_TOKEN * self._prompt.parameters.max_output_tokens, self.longest_answer)


def task_call(prompt: PromptVersion, stage: StageCalls, sizes: RowSizes) -> CallSize:
    """A call of one of the prompt's own steps: the longest step at most, the mean of the steps as expected."""
    learned = stage.texts_learned * PROPOSAL_MAX_OUTPUT_TOKENS * BYTES_PER_TOKEN
    most = [_request_bytes(prompt, step, sizes.longest, stage.demonstrations, sizes.generated) for step in prompt.steps]
    usual = [
        _request_bytes(prompt, step, sizes.median, stage.demonstrations // 2, sizes.mean_answer)
        for step in prompt.steps
    ]
    limit = prompt.parameters.max_output_tokens
    written = EXPECTED_WRITTEN_TOKENS if stage.texts_learned else 0
    return CallSize(
        Range(round(fmean(usual)) // BYTES_PER_TOKEN + written, max(most) + learned),
        Range(min(limit, _expected_answer(prompt, sizes)), limit),
    )


def proposal_call(prompt: PromptVersion, stage: StageCalls, sizes: RowSizes) -> CallSize:
    """A call of the model that writes instructions: DSPy's frame, rows with answers, earlier texts and the prompt."""
    steps = len(prompt.steps)
    own = sum(len(step.system_prompt.encode()) for step in prompt.steps)
    written = PROPOSAL_MAX_OUTPUT_TOKENS * BYTES_PER_TOKEN
    usual_text = EXPECTED_WRITTEN_TOKENS * BYTES_PER_TOKEN
    row_most = _input_bytes(sizes.longest) * (steps + 1) + sizes.generated * (steps + 5) + FEEDBACK_BYTES
    row_usual = sizes.mean_input * steps + sizes.mean_answer * 3 + FEEDBACK_BYTES // 10
    texts = stage.texts_shown + stage.texts_learned * steps
    most = FRAME_BYTES + _ESCAPED * (own + stage.rows_shown * row_most + texts * written)
    usual = FRAME_BYTES // 2 + own + stage.rows_shown * row_usual + stage.texts_shown * usual_text // 2
    return CallSize(Range(usual // BYTES_PER_TOKEN, most), Range(EXPECTED_WRITTEN_TOKENS, PROPOSAL_MAX_OUTPUT_TOKENS))


def judge_call(spec: JudgeSpec, sizes: RowSizes) -> CallSize:
    """A call of the judge about an answer; texts that grow because tags in them are made inert are not."""
    shown = sorted((row_fields(spec, row.inputs, row.output) for row in sizes.rows), key=_field_bytes)
    usual = _judge_bytes(spec, {**shown[len(shown) // 2], "answer": "x" * sizes.mean_answer})
    most = _judge_bytes(spec, {**shown[-1], "answer": "x" * sizes.generated})
    limit = spec.parameters.max_output_tokens
    return CallSize(Range(usual // BYTES_PER_TOKEN, most), Range(min(limit, EXPECTED_JUDGEMENT_TOKENS), limit))


def embedding_call(spec: EmbeddingSimilaritySpec, sizes: RowSizes) -> CallSize:
    """A call for the vector of an answer or an expected text: nothing is written, one token is reserved."""
    most = _embedding_bytes(spec, "x" * sizes.generated)
    return CallSize(Range(max(1, sizes.mean_answer // BYTES_PER_TOKEN), most), Range(0, 1))


def _embedding_bytes(spec: EmbeddingSimilaritySpec, text: str) -> int:
    prompt = embedding_prompt(spec)
    return byte_token_bound(build_request(prompt, StepRenderer(prompt.steps[0]).render({TEXT_FIELD: text})))


def _judge_bytes(spec: JudgeSpec, fields: dict[str, str]) -> int:
    judge = grading_prompt(spec)
    return byte_token_bound(build_request(judge, StepRenderer(judge.steps[0]).render(fields)))


def _field_bytes(fields: dict[str, str]) -> int:
    return sum(len(text.encode()) for text in fields.values())


def _input_bytes(row: Row) -> int:
    return sum(len(text.encode()) for text in row.inputs.values())


def _request_bytes(prompt: PromptVersion, step: PromptStep, row: Row, demonstrations: int, answer: int) -> int:
    """A request of `step` about `row`, after that row as so many demonstrations; answers are `answer` bytes long."""
    names = [other.name for other in prompt.steps]
    earlier = dict.fromkeys(names[: names.index(step.name)], "x" * answer)
    shown = Demonstration(inputs={**row.inputs, **earlier}, output="x" * answer)
    full = step.model_copy(update={"demonstrations": (*step.demonstrations, *(shown,) * demonstrations)})
    return byte_token_bound(build_request(prompt, StepRenderer(full).render({**row.inputs, **earlier})))


def _expected_answer(prompt: PromptVersion, sizes: RowSizes) -> int:
    last = prompt.steps[-1].output
    reasoning = EXPECTED_REASONING_TOKENS if last.reasoning else 0
    return max(1, sizes.mean_answer // BYTES_PER_TOKEN) + reasoning
