"""The one renderer: whatever is optimised, evaluated, batched or served sends these messages."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateSyntaxError, UndefinedError, meta
from jinja2.exceptions import SecurityError, TemplateRuntimeError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from domain.contracts import contract_section
from domain.errors import TemplateError
from domain.message import Message
from domain.prompt import PromptStep, PromptVersion

MAX_REPEAT = 10_000


class _PromptEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox, with the operators that can exhaust memory held back: `%` pads text to any width."""

    intercepted_binops = frozenset({"**", "*", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "**" or not all(isinstance(side, int) and abs(side) <= MAX_REPEAT for side in (left, right)):
            raise SecurityError(
                f"the operator {operator} is not for these operands: only `*` and `%`, of small whole numbers"
            )
        return super().call_binop(context, operator, left, right)


_ENVIRONMENT = _PromptEnvironment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=False)
_ENVIRONMENT.globals.clear()  # pyright: ignore[reportUnknownMemberType] (jinja2 leaves it untyped)


def template_fields(template: str) -> frozenset[str]:
    """The fields a template reads.

    Raises:
        TemplateError: it is not valid Jinja2.
    """
    try:
        return frozenset(meta.find_undeclared_variables(_ENVIRONMENT.parse(template)))
    except TemplateSyntaxError as error:
        raise TemplateError(
            f"the template is not valid: {error.message}",
            row=error.lineno,
            field="output_prompt",
            mend="write fields as {{ name }} and close every {% block %}.",
        ) from error
    except RecursionError as error:
        raise TemplateError(
            "the template is nested too deeply", field="output_prompt", mend="flatten its brackets and blocks."
        ) from error


def fields_read(prompt: PromptVersion) -> frozenset[str]:
    """The fields that the prompt reads from the row: of all steps, without the answers of earlier ones.

    Raises:
        TemplateError: a template is not valid.
    """
    read: set[str] = set()
    answered: set[str] = set()
    for step in prompt.steps:
        read |= template_fields(step.output_prompt) - answered
        answered.add(step.name)
    return frozenset(read)


def check_templates(prompt: PromptVersion, input_fields: tuple[str, ...]) -> None:
    """Refuse a prompt whose templates read fields that no row and no earlier step gives, or that leave the sandbox.

    Raises:
        TemplateError: naming the step, the field and the fields there are.
    """
    known = list(input_fields)
    for step in prompt.steps:
        where = f"steps.{step.name}.output_prompt"
        unknown = template_fields(step.output_prompt) - set(known)
        if unknown:
            raise TemplateError(
                f"the template uses undefined field(s) {', '.join(sorted(unknown))}",
                field=where,
                mend=f"use one of: {', '.join(known)}.",
            )
        StepRenderer(step).render(dict.fromkeys(known, "x"))
        known.append(step.name)


class StepRenderer:
    """Renders one step; the part that does not depend on the row is rendered once.

    Raises:
        TemplateError: the template is malformed, or a demonstration does not fill it.
    """

    def __init__(self, step: PromptStep) -> None:
        self._template = _compile(step.output_prompt)
        self._prefix = self._render_prefix(step)

    def render(self, inputs: Mapping[str, str]) -> tuple[Message, ...]:
        """The messages for one row: system, demonstrations in turns, then the row.

        Raises:
            TemplateError: a field is missing, or the template leaves the sandbox.
        """
        return (*self._prefix, Message("user", self._fill(inputs)))

    def _render_prefix(self, step: PromptStep) -> tuple[Message, ...]:
        section = contract_section(step.output)
        system = "\n\n".join(part for part in (step.system_prompt, section) if part)
        messages = [Message("system", system)] if system else []
        for demonstration in step.demonstrations:
            messages.append(Message("user", self._fill(demonstration.inputs)))
            messages.append(Message("assistant", demonstration.output))
        return tuple(messages)

    def _fill(self, inputs: Mapping[str, str]) -> str:
        try:
            return self._template.render(inputs)
        except UndefinedError as error:
            raise TemplateError(
                f"the template uses an undefined field: {error.message}",
                field="output_prompt",
                mend=f"give a value for it; the row has: {', '.join(sorted(inputs)) or 'no field'}.",
            ) from error
        except SecurityError as error:
            raise TemplateError(
                f"the template tries to leave the sandbox: {error.message}",
                field="output_prompt",
                mend="use plain fields, filters and conditions only.",
            ) from error
        except (TemplateRuntimeError, TypeError, ValueError, OverflowError, ArithmeticError) as error:
            raise TemplateError(
                f"the template fails: {error}", field="output_prompt", mend="check its filters and their arguments."
            ) from error


def render_step(step: PromptStep, inputs: Mapping[str, str]) -> tuple[Message, ...]:
    """The messages of one step for one row; see `StepRenderer` to render many rows.

    Raises:
        TemplateError: as `StepRenderer`.
    """
    return StepRenderer(step).render(inputs)


@lru_cache(maxsize=1024)
def _compile(template: str) -> Template:
    template_fields(template)
    return _ENVIRONMENT.from_string(template)
