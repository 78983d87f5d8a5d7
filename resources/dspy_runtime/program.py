"""A prompt version as a DSPy program, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Self, cast

from domain.errors import InputError, OutputParseError
from domain.pipeline import step_value
from domain.prompt import PromptVersion
from resources.dspy_runtime.calls import TaskCall
from resources.dspy_runtime.dspy_import import dspy
from resources.dspy_runtime.fields import ProgramFields, StepFields, program_fields
from resources.dspy_runtime.halting import halting
from resources.dspy_runtime.step_state import StepState, Versions

STEP_KEY = "promptory_step"
AUTHORED_KEY = "dspy_authored"


class StepPrediction(dspy.Prediction):
    """A row's answer under the label's field. Whose it is stays out of what optimizers print into their prompts.

    Attributes:
        version: the prompt version that answered.
        broken: the step whose answer broke its contract, if one did.
    """

    def __init__(self, field: str, text: str, version: PromptVersion, broken: str | None) -> None:
        super().__init__(**{field: text})
        self._version = version
        self._broken = broken

    @property
    def version(self) -> PromptVersion:
        return self._version

    @property
    def broken(self) -> str | None:
        return self._broken


# Arguments and attributes of DSPy's own that a field of the same name would shadow or collide with.
_TAKEN = frozenset(
    {
        *dir(dspy.Signature), *dir(dspy.Example), *dir(StepPrediction), "args", "augmented", "base", "completions",
        "config", "demos", "fn", "instance", "kwargs", "lm", "new_signature", "prediction", "self", "signature",
    }
)  # fmt: skip

_CURRENT_TASK: ContextVar[TaskCall | None] = ContextVar("promptory_task_call", default=None)


class ProgramPlan:
    """What all copies of one program share: the prompt it stands for and how its fields are named."""

    def __init__(self, prompt: PromptVersion) -> None:
        self.prompt = prompt
        self.fields: ProgramFields = program_fields(prompt, _TAKEN)
        self.versions = Versions(prompt)
        self.row_ids: Mapping[tuple[str, ...], str] = {}
        self.signatures = [_signature(number, step) for number, step in enumerate(self.fields.steps)]
        self._untouched = [_spellings(signature) for signature in self.signatures]

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def state(self, number: int, signature: type[dspy.Signature], demos: Sequence[Any]) -> StepState:
        """The state of step number `number` as a predictor with this signature and these demos has it.

        The instructions are the signature's raw text: `Signature.instructions` trims and re-indents, which would
        change learned text, and turns an empty system prompt into a default sentence.
        """
        step = self.fields.steps[number].step
        text = signature.__doc__ or ""
        system_prompt = step.system_prompt if text in self._untouched[number] else text
        return StepState(system_prompt, tuple(_demonstrations(self.fields.steps[number], demos)))


class _Steps(dspy.Module):
    def __init__(self, plan: ProgramPlan) -> None:
        super().__init__()
        self.plan = plan
        self.steps = [dspy.Predict(signature) for signature in plan.signatures]

    def forward(self, **row: str) -> StepPrediction:
        with halting():
            return self._answer(row)

    def _answer(self, row: dict[str, str]) -> StepPrediction:
        version = self.plan.versions.version(self.states())
        row_id = self.plan.row_ids.get(tuple(row.values()))
        values, text, broken = dict(row), "", None
        last = self.plan.fields.steps[-1]
        for predict, fields in zip(self.steps, self.plan.fields.steps, strict=True):
            given = {name: values[name] for name in fields.inputs.values() if name in values}
            with task_call(TaskCall(version, row_id, fields.step.name)):
                text = cast(str, predict(**given)[fields.output])
            try:
                values[fields.output] = step_value(fields.step.output, text)
            except OutputParseError:
                # A broken last answer is scored as it is; after a broken earlier one there is no answer.
                text = text if fields is last else ""
                broken = fields.step.name
                break
        return StepPrediction(self.plan.fields.label, text, version, broken)

    def states(self) -> tuple[StepState, ...]:
        """The present state of every step."""
        return tuple(
            self.plan.state(number, cast("type[dspy.Signature]", predict.signature), predict.demos)
            for number, predict in enumerate(self.steps)
        )


# MIPROv2 and SIMBA show the source of a program's class to the model that writes instructions: this is all of it.
class StepProgram(_Steps):
    """Answers one row: asks one predictor per step, in order; each step sees the values of the steps before it."""


def program_from_prompt(prompt: PromptVersion) -> StepProgram:
    """A program with one predictor per step, its instructions and demonstrations those of the prompt.

    Raises:
        TemplateError: a template is not valid.
    """
    program = StepProgram(ProgramPlan(prompt))
    for predict, fields in zip(program.steps, program.plan.fields.steps, strict=True):
        predict.demos = [_authored(fields, number) for number in range(len(fields.step.demonstrations))]
    return program


def prompt_from_program(prompt: PromptVersion, program: dspy.Module) -> PromptVersion:
    """`prompt` with the instructions and demonstrations that `program`, made from it, has learned, verbatim.

    Raises:
        InputError: `program` was made from another prompt.
    """
    if not isinstance(program, StepProgram) or program.plan.prompt.id != prompt.id:
        raise InputError("the program was not made from this prompt version")
    return program.plan.versions.version(program.states())


@contextmanager
def task_call(task: TaskCall) -> Iterator[None]:
    """Mark the calls made inside the block as a task predictor's."""
    token = _CURRENT_TASK.set(task)
    try:
        yield
    finally:
        _CURRENT_TASK.reset(token)


def current_task() -> TaskCall | None:
    """The task predictor that is calling; None for an optimizer's own predictors."""
    return _CURRENT_TASK.get()


def _spellings(signature: type[dspy.Signature]) -> set[str]:
    """How optimizers hand a step's own instructions back to it: trimmed by DSPy, and without quotes by COPRO."""
    read = signature.instructions
    return {signature.__doc__ or "", read, read.strip('"').strip()}


def step_number(signature: type[dspy.Signature]) -> int | None:
    """Which step of a program a signature belongs to; None for an optimizer's own."""
    for field in signature.output_fields.values():
        return cast("dict[str, Any]", field.json_schema_extra).get(STEP_KEY)
    return None


def _signature(number: int, fields: StepFields) -> type[dspy.Signature]:
    names: dict[str, Any] = {name: (str, dspy.InputField()) for name in fields.inputs.values()}
    names[fields.output] = (str, dspy.OutputField())
    signature = dspy.make_signature(names, fields.step.system_prompt)
    cast("dict[str, Any]", signature.output_fields[fields.output].json_schema_extra)[STEP_KEY] = number
    return signature


def _authored(fields: StepFields, number: int) -> dspy.Example:
    """An authored demonstration, by its number: its inputs may have fields the template does not read."""
    demonstration = fields.step.demonstrations[number]
    shown = {field: demonstration.inputs[name] for name, field in fields.inputs.items() if name in demonstration.inputs}
    values: dict[str, Any] = {**shown, fields.output: demonstration.output, AUTHORED_KEY: number}
    return dspy.Example(**values)


def _demonstrations(fields: StepFields, demos: Iterable[Any]) -> Iterable[tuple[tuple[tuple[str, str], ...], str]]:
    """Those of a predictor's demos that are whole: a labelled row says nothing about an intermediate step."""
    for demo in demos:
        number = demo.get(AUTHORED_KEY)
        if number is not None:
            authored = fields.step.demonstrations[number]
            yield tuple(authored.inputs.items()), authored.output
        elif fields.output in demo and all(field in demo for field in fields.inputs.values()):
            yield tuple((name, demo[field]) for name, field in fields.inputs.items()), demo[fields.output]
