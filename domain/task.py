"""The task: dataset + prompt + evaluators + optimizer + gate + budget, as one YAML file says it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domain.batch.options import BatchSpec
from domain.contracts import OutputContract, TextContract
from domain.dataset import SplitFractions
from domain.evaluators.judge_spec import JudgeSpec
from domain.evaluators.specs import EvaluatorSpec
from domain.experiment.declared import DeclaredExperiment
from domain.gate import GateRule
from domain.identity import content_id
from domain.names import TASK_NAME_PATTERN
from domain.optimization import OptimizerSpec, proposal_model, stages_of
from domain.prompt import MODEL_PATTERN, Demonstration, PromptParameters, PromptStep, PromptVersion
from domain.rendering import fields_read
from domain.schedule import ScheduleSpec


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's, without what was worked out from the former values."""
        copied = super().model_copy(update=update, deep=deep)
        values: dict[str, Any] = vars(copied)
        for name in values.keys() - type(self).model_fields.keys():
            del values[name]
        return copied


class DatasetSpec(_Part):
    """Where a task's labelled rows come from."""

    source: str = Field(
        description="CSV, JSONL or Parquet file, or a HuggingFace-datasets folder; relative to the task file."
    )
    inputs: tuple[str, ...] = Field(min_length=1, description="Columns the prompt may use.")
    output: str | tuple[str, ...] = Field(
        description="The column with the expected answer; a list of columns makes one JSON object of them."
    )
    id: str | None = Field(
        default=None, description="Column with a unique id per row; derived from the input if absent."
    )
    split: SplitFractions = SplitFractions()
    answer_pattern: str | None = Field(
        default=None, description="Regex whose first group is the answer inside the output column."
    )
    max_quarantined: float = Field(
        default=0.1, ge=0, le=1, description="Share of bad rows above which the whole file is refused."
    )


class StepSpec(_Part):
    """One step as written in a task file."""

    name: str = "answer"
    system_prompt: str = ""
    output_prompt: str
    demonstrations: tuple[Demonstration, ...] = ()
    output: OutputContract = TextContract()


class PromptSpec(_Part):
    """The authored prompt: either `steps`, or the fields of a single step in place."""

    model: str = Field(pattern=MODEL_PATTERN, description="provider/name, e.g. openai/gpt-4o-mini or offline/nearest.")
    parameters: PromptParameters = PromptParameters()
    steps: tuple[StepSpec, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _single_step(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "steps" in value:
            return value  # pyright: ignore[reportUnknownVariableType]
        fields: dict[str, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType]
        own = {key: fields.pop(key) for key in ("model", "parameters") if key in fields}
        return {**own, "steps": [fields]}

    def version(self) -> PromptVersion:
        """The prompt version this text stands for."""
        return self.authored

    @cached_property
    def authored(self) -> PromptVersion:
        """`version()`, made once: sensors ask a thousand tasks for it every few seconds."""
        steps = tuple(PromptStep.model_validate(step.model_dump()) for step in self.steps)
        return PromptVersion(steps=steps, model=self.model, parameters=self.parameters)


class BudgetSpec(_Part):
    """Caps in USD."""

    total_usd: Annotated[Decimal, Field(gt=0)] | None = Field(
        default=None, description="Everything this task may ever spend (scope task:<name>)."
    )
    run_usd: Decimal = Field(default=Decimal("1.00"), gt=0, description="One optimization run (scope run:<id>).")


class CompressionSpec(_Part):
    """What a compression may try beside a shorter prompt, how much quality it may cost, and who starts it."""

    start: Literal["manual", "automatic"] = Field(
        default="manual", description="`automatic` starts one whenever another prompt version has come into production."
    )
    models: tuple[Annotated[str, Field(pattern=MODEL_PATTERN)], ...] = Field(
        default=(), description="Cheaper models to try, provider/name."
    )
    margin: float = Field(
        default=0.02,
        gt=0,
        lt=1,
        description="Not worse by more than this, where the gate itself sets no non_inferiority_margin.",
    )


class DriftSpec(_Part):
    """When production counts as drifted, and what then happens."""

    alpha: float = Field(
        default=0.01, gt=0, lt=0.5, description="Risk of a false alarm, of all looks at a prompt version together."
    )
    min_calls: int = Field(
        default=500, ge=100, description="Production calls in each of the two samples whose inputs are compared."
    )
    min_shift: float = Field(
        default=0.1, ge=0, lt=1, description="Smallest shift of the inputs worth telling (total variation, 0 to 1)."
    )
    contents: bool = Field(
        default=True,
        description="Compare also the words of what batches ask with the dataset's, and their labels with the first.",
    )
    cooldown_days: float = Field(
        default=7.0, ge=0, description="After a request for this task none follows for so long."
    )
    then: Literal["alert", "optimize"] = Field(
        default="alert", description="`optimize` also requests a new optimization run, from a seed of its own."
    )


class Task(_Part):
    """One task file."""

    name: str = Field(pattern=TASK_NAME_PATTERN, description="The partition key.")
    description: str = ""
    dataset: DatasetSpec
    prompt: PromptSpec
    evaluators: tuple[EvaluatorSpec, ...] = Field(min_length=1, description="The first one is the metric.")
    optimizer: OptimizerSpec | None = None
    gate: GateRule = GateRule()
    budget: BudgetSpec = BudgetSpec()
    compress: CompressionSpec = CompressionSpec()
    batch: BatchSpec = Field(default=BatchSpec(), description="How unlabelled rows are answered in batches.")
    optimize: Literal["manual", "automatic"] = Field(
        default="manual", description="`automatic` starts an optimization run when the dataset or the prompt changes."
    )

    schedule: ScheduleSpec | None = Field(default=None, description="What starts by the clock.")
    experiment: DeclaredExperiment | None = Field(
        default=None, description="The live A/B test that schedule.start_experiment begins anew each time."
    )
    drift: DriftSpec = DriftSpec()

    @cached_property
    def spec_id(self) -> str:
        """SHA-256 of the whole specification."""
        return content_id(self.model_dump(mode="json"))

    @cached_property
    def reading(self) -> dict[str, Any]:
        """What the rows are read and checked by, as JSON values: dataset, output contract, evaluators, unread inputs.

        Raises:
            TemplateError: a template is not valid.
        """
        read = fields_read(self.prompt.version())
        unread = [name for name in self.dataset.inputs if name not in read]
        return {
            "dataset": self.dataset.model_dump(mode="json"),
            "contract": self.prompt.steps[-1].output.model_dump(mode="json"),
            "evaluators": [spec.model_dump(mode="json") for spec in self.evaluators],
            # Said only where there are any: the fingerprints of all other tasks stay what sensors have kept.
            **({"unread": unread} if unread else {}),
        }

    @property
    def metric(self) -> EvaluatorSpec:
        """The evaluator the gate and the optimizer look at."""
        return self.evaluators[0]

    @property
    def models(self) -> frozenset[str]:
        """Every model that optimizing and evaluating this task may ask: its own, those that write, those that judge."""
        stages = stages_of(self.optimizer) if self.optimizer else ()
        writers = {proposal_model(stage, self.prompt.model) for stage in stages}
        judges = {spec.model for spec in self.evaluators if isinstance(spec, JudgeSpec)}
        pairwise = {self.gate.pairwise.model} if self.gate.pairwise else set[str]()
        return frozenset({self.prompt.model, *(writer for writer in writers if writer), *judges, *pairwise})

    def caps(self, run_id: str | None = None) -> dict[str, Decimal]:
        """This task's caps in USD by budget scope, that of an optimization run included where one is named."""
        caps = {} if self.budget.total_usd is None else {f"task:{self.name}": self.budget.total_usd}
        return caps if run_id is None else {**caps, f"run:{run_id}": self.budget.run_usd}

    @model_validator(mode="after")
    def _outputs_fit(self) -> Self:
        if len(self.dataset.inputs) != len(set(self.dataset.inputs)):
            raise ValueError("dataset.inputs names a column twice")
        contract = self.prompt.steps[-1].output
        if self.drift.then == "optimize" and self.optimizer is None:
            raise ValueError("drift.then is optimize, but the task names no optimizer")
        if self.schedule is not None and self.schedule.optimize is not None and self.optimizer is None:
            raise ValueError("schedule.optimize is set, but the task names no optimizer")
        if self.schedule is not None and self.schedule.start_experiment is not None and self.experiment is None:
            raise ValueError("schedule.start_experiment is set, but the task declares no experiment")
        if isinstance(self.dataset.output, tuple) and contract.kind != "json":
            raise ValueError("dataset.output lists several columns, so the last step's output must be of kind json")
        return self
