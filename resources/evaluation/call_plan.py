"""What an evaluation would ask for and cost, without asking: for plans of many tasks.

Answers that are stored already are not asked for again. Expected: four bytes a token, texts of mean length, and
judgements missing in the same share as answers. At most: no answer and no judgement is stored, and every call is the
longest there can be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domain.dataset import Row, Split
from domain.evaluators.judge_spec import JudgeSpec, Rubric
from domain.optimization_plan import Range, StageCalls
from domain.pricing import Usage, cost_nano_usd, reserve_nano_usd
from domain.prompt import PromptVersion
from domain.task import Task
from resources.llm.prices import PriceBook
from resources.optimization.call_sizes import BYTES_PER_TOKEN, CallSize, RowSizes, task_call

NOTHING = Range()
_PAIRWISE_ORDERS = 2
# What a judge is told beside rubric, input and answer.
_JUDGE_FRAME_BYTES = 1_500
_JUDGE_EXPECTED_TOKENS = 60
_NOTHING_LEARNED = StageCalls("evaluation", Range())


@dataclass(frozen=True, slots=True)
class Contender:
    """A prompt version that an evaluation asks.

    Attributes:
        rows: of the splits that it answers.
        stored: how many answers of it there are.
    """

    prompt: PromptVersion
    rows: int
    stored: int

    @property
    def missing(self) -> int:
        """Answers still to be paid for."""
        return max(0, self.rows - self.stored)


@dataclass(frozen=True, slots=True)
class CallPlan:
    """Calls, and nano-USD; None where a model has no price."""

    calls: Range = NOTHING
    cost: Range | None = NOTHING

    def __add__(self, other: CallPlan) -> CallPlan:
        cost = None if self.cost is None or other.cost is None else self.cost + other.cost
        return CallPlan(self.calls + other.calls, cost)


def plan_evaluation(
    task: Task, contenders: Sequence[Contender], rows: Sequence[Row], prices: PriceBook, *, with_rival: bool
) -> CallPlan:
    """The calls of all contenders and of the task's judges.

    Args:
        rows: the dataset's, to measure.
        with_rival: whether a candidate may meet production on test, where a pairwise judge compares them.

    Raises:
        InputError: a row's expected answer does not meet the output contract.
        TemplateError: a row does not fill a template.
    """
    planned = CallPlan()
    for one in contenders:
        calls = Range(one.missing, one.rows) * len(one.prompt.steps)
        size = task_call(one.prompt, _NOTHING_LEARNED, RowSizes(one.prompt, rows))
        planned += _priced(one.prompt.model, calls, size, prices)
    answers = Range(sum(one.missing for one in contenders), sum(one.rows for one in contenders))
    sizes = RowSizes(task.prompt.version(), rows)
    for spec in task.evaluators:
        if isinstance(spec, JudgeSpec):
            planned += _priced(spec.model, answers * spec.samples, _judge_size(spec, sizes), prices)
    if task.gate.pairwise is not None and with_rival:
        test = sum(row.split is Split.TEST for row in rows) * _PAIRWISE_ORDERS
        judge = task.gate.pairwise
        planned += _priced(judge.model, Range(test, test), _judge_size(judge, sizes), prices)
    return planned


def _judge_size(judge: Rubric, sizes: RowSizes) -> CallSize:
    frame = _JUDGE_FRAME_BYTES + len(judge.rubric.encode())
    longest = sum(len(text.encode()) for text in sizes.longest.inputs.values())
    most = frame + longest + 3 * sizes.generated
    usual = frame + sizes.mean_input + 2 * sizes.mean_answer
    limit = judge.parameters.max_output_tokens
    return CallSize(Range(usual // BYTES_PER_TOKEN, most), Range(min(limit, _JUDGE_EXPECTED_TOKENS), limit))


def _priced(model: str, calls: Range, size: CallSize, prices: PriceBook) -> CallPlan:
    price = prices.price_of(model)
    if price is None:
        return CallPlan(calls, None)
    usual = Usage(input_tokens=size.input_tokens.expected, output_tokens=size.output_tokens.expected)
    most = reserve_nano_usd(price, size.input_tokens.at_most, size.output_tokens.at_most)
    return CallPlan(calls, Range(calls.expected * cost_nano_usd(price, usual), calls.at_most * most))
