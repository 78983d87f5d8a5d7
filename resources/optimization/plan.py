"""What an optimization run would ask for and cost, without asking: for dry runs and the start of every run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from domain.contracts import ChoiceContract
from domain.dataset import Row
from domain.evaluators.embedding_spec import EmbeddingSimilaritySpec
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.specs import AskingSpec, EvaluatorSpec
from domain.identity import canonical_json
from domain.optimization import OptimizerSpec, proposal_model, stages_of
from domain.optimization_plan import Range, StageCalls, planned_stages
from domain.pricing import Usage, cost_nano_usd, nano_to_usd, reserve_nano_usd, usd_to_nano
from domain.prompt import PromptVersion
from domain.task import Task
from resources.dspy_runtime.row_scores import JUDGE_ROUNDS
from resources.llm.prices import PriceBook
from resources.llm.settings import CoreSettings
from resources.optimization.call_sizes import CallSize, RowSizes, embedding_call, judge_call, proposal_call, task_call

ASSUMPTION = (
    "Expected: every second answer to a train row is right, a third of GEPA's instructions are worth a full scoring, "
    "the writing model keeps to its format, four bytes a token, texts of mean length. At most: no answer is right, "
    "every proposal is asked for twice, every judgement three times, and every call is the longest there can be. "
    "Repeated questions are paid once."
)

# So many different labels the candidates of a run give one row, as expected.
LABELS_PER_ROW = 2


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One kind of calls of one stage.

    Attributes:
        purpose: `task` (the prompt's own steps), `judge` (a judge that is the metric), `vectors` (an embedding
            similarity that is) or `proposals` (instructions being written).
        cost: nano-USD of all of them; None for a model without a price.
    """

    stage: str
    purpose: str
    model: str
    calls: Range
    size: CallSize
    cost: Range | None

    @property
    def tokens(self) -> Range:
        """Input and output tokens of all these calls."""
        each = self.size.input_tokens + self.size.output_tokens
        return Range(self.calls.expected * each.expected, self.calls.at_most * each.at_most)

    def values(self) -> dict[str, Any]:
        """For JSON, money in USD."""
        return {
            "stage": self.stage,
            "purpose": self.purpose,
            "model": self.model,
            "calls": _values(self.calls),
            "input_tokens_per_call": _values(self.size.input_tokens),
            "output_tokens_per_call": _values(self.size.output_tokens),
            "usd": None if self.cost is None else _usd(self.cost),
        }


@dataclass(frozen=True, slots=True)
class RunPlan:
    """A run's calls, stage by stage, and the caps (nano-USD by scope) that bind them."""

    lines: tuple[PlanLine, ...]
    caps_nano_usd: dict[str, int]

    @property
    def calls(self) -> Range:
        """All calls."""
        return sum((line.calls for line in self.lines), Range())

    @property
    def tokens(self) -> Range:
        """Input and output tokens of all calls."""
        return sum((line.tokens for line in self.lines), Range())

    @property
    def cost(self) -> Range | None:
        """Nano-USD; None where a model has no price."""
        costs = [line.cost for line in self.lines]
        known = [cost for cost in costs if cost is not None]
        return sum(known, Range()) if len(known) == len(costs) else None

    @property
    def bound_nano_usd(self) -> int | None:
        """The most the run can spend: its calls' worst case, or the smallest cap."""
        amounts = [*self.caps_nano_usd.values(), *([] if self.cost is None else [self.cost.at_most])]
        return min(amounts, default=None)

    @property
    def cut_short(self) -> bool:
        """Whether a cap will probably end or pause the run before its optimizer is done."""
        return self.cost is not None and self.cost.expected > min(
            self.caps_nano_usd.values(), default=self.cost.expected
        )

    def values(self) -> dict[str, Any]:
        """For JSON, money in USD."""
        cost, bound = self.cost, self.bound_nano_usd
        return {
            "calls": _values(self.calls),
            "tokens": _values(self.tokens),
            "usd": None if cost is None else _usd(cost),
            "stages": [line.values() for line in self.lines],
            "caps_usd": {scope: nano_to_usd(cap) for scope, cap in self.caps_nano_usd.items()},
            "bound_usd": None if bound is None else nano_to_usd(bound),
            "probably_cut_short": self.cut_short,
            "assumption": ASSUMPTION,
        }

    def sentence(self) -> str:
        """The plan in a line, for logs."""
        calls, cost = self.calls, self.cost
        money = "no known price" if cost is None else f"{nano_to_usd(cost.expected):.4f} USD expected"
        bound = "" if self.bound_nano_usd is None else f", {nano_to_usd(self.bound_nano_usd):.4f} USD at most"
        warning = "; a cap will probably cut it short" if self.cut_short else ""
        return f"planned: {calls.expected:,} calls expected, {calls.at_most:,} at most; {money}{bound}{warning}"


def plan_run(
    prompt: PromptVersion,
    optimizer: OptimizerSpec,
    train: Sequence[Row],
    dev: Sequence[Row],
    prices: PriceBook,
    caps_nano_usd: dict[str, int],
    metric: EvaluatorSpec,
) -> RunPlan:
    """The plan of a run of `optimizer` on these rows; where `metric` asks a model, its calls are part of it.

    Raises:
        InputError: a row's expected answer does not meet the output contract.
        TemplateError: a row does not fill a template.
    """
    sizes = RowSizes(prompt, (*train, *dev))
    lines: list[PlanLine] = []
    # Demonstrations and instructions a stage inherits from those before it are shown in its calls, too.
    learned = StageCalls("", Range(), demonstrations=max(len(step.demonstrations) for step in prompt.steps))
    planned = planned_stages(optimizer, len(train), len(dev), len(prompt.steps))
    for spec, stage in zip(stages_of(optimizer), planned, strict=True):
        learned = _inherited(learned, stage)
        if stage.task.at_most:
            lines.append(_line(learned, "task", prompt.model, learned.task, task_call(prompt, learned, sizes), prices))
            if isinstance(metric, AskingSpec):
                lines.append(_metric_line(learned, metric, prompt, sizes, prices))
        writer = proposal_model(spec, prompt.model)
        if writer is not None:
            size = proposal_call(prompt, learned, sizes)
            lines.append(_line(learned, "proposals", writer, learned.proposals, size, prices))
    return RunPlan(tuple(lines), caps_nano_usd)


def binding_caps(task: Task, settings: CoreSettings) -> dict[str, int]:
    """The caps (nano-USD) over an optimization run of `task`, its own included."""
    scopes = ("org", "day", "month", f"task:{task.name}")
    caps = {scope: usd_to_nano(cap) for scope, cap in settings.budgets.items() if scope in scopes}
    caps["run"] = usd_to_nano(task.budget.run_usd)
    if task.budget.total_usd is not None:
        caps.setdefault(f"task:{task.name}", usd_to_nano(task.budget.total_usd))
    return caps


def _metric_line(
    stage: StageCalls, metric: AskingSpec, prompt: PromptVersion, sizes: RowSizes, prices: PriceBook
) -> PlanLine:
    """What a metric that asks a model asks of it."""
    match metric:
        case JudgeSpec():
            answers = _new_answers(prompt, stage.task, len(sizes.rows) * LABELS_PER_ROW)
            calls = Range(answers.expected, answers.at_most * JUDGE_ROUNDS) * metric.samples
            return _line(stage, "judge", metric.model, calls, judge_call(metric, sizes), prices)
        case EmbeddingSimilaritySpec():
            # A text has one vector, whatever its row; each stage may be the first to meet an expected one.
            expected = len({canonical_json(row.output) for row in sizes.rows})
            calls = _new_answers(prompt, stage.task, expected) + Range(expected, expected)
            return _line(stage, "vectors", metric.model, calls, embedding_call(metric, sizes), prices)


def _new_answers(prompt: PromptVersion, task: Range, labels: int) -> Range:
    """Answers to ask a model about; where they are labels, so many different ones are expected."""
    steps, contract = len(prompt.steps), prompt.steps[-1].output
    expected = math.ceil(task.expected / steps)
    if isinstance(contract, ChoiceContract):
        expected = min(expected, labels)
    return Range(expected, task.at_most // steps)


def _inherited(before: StageCalls, stage: StageCalls) -> StageCalls:
    return StageCalls(
        stage.kind,
        stage.task,
        stage.proposals,
        max(before.demonstrations, stage.demonstrations),
        before.texts_learned + stage.texts_learned,
        stage.rows_shown,
        stage.texts_shown,
    )


def _line(stage: StageCalls, purpose: str, model: str, calls: Range, size: CallSize, prices: PriceBook) -> PlanLine:
    price = prices.price_of(model)
    cost = None
    if price is not None:
        usual = Usage(input_tokens=size.input_tokens.expected, output_tokens=size.output_tokens.expected)
        most = reserve_nano_usd(price, size.input_tokens.at_most, size.output_tokens.at_most)
        cost = Range(calls.expected * cost_nano_usd(price, usual), calls.at_most * most)
    return PlanLine(stage.kind, purpose, model, calls, size, cost)


def _values(figures: Range) -> dict[str, int]:
    return {"expected": figures.expected, "at_most": figures.at_most}


def _usd(figures: Range) -> dict[str, Any]:
    return {"expected": nano_to_usd(figures.expected), "at_most": nano_to_usd(figures.at_most)}
