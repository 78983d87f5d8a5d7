"""Prompt versions: immutable, content-addressed lists of steps."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from domain.contracts import OutputContract, TextContract
from domain.identity import content_id

STEP_NAME_PATTERN = r"^[a-z][a-z0-9_]*$"
ENDPOINT_NAME = r"[a-z][a-z0-9_-]*"
MODEL_PATTERN = rf"^{ENDPOINT_NAME}/\S+$"


class Demonstration(BaseModel):
    """One worked example: the step's inputs and the answer, both verbatim."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    inputs: dict[str, str]
    output: str


class PromptStep(BaseModel):
    """One model call: a verbatim system prompt, a user template, demonstrations and an output contract.

    Only `output_prompt` is a template (Jinja2, sandboxed, strict undefined). Its fields are the row's inputs and, by
    their names, the answers of earlier steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="answer", pattern=STEP_NAME_PATTERN)
    system_prompt: str = ""
    output_prompt: str = Field(min_length=1)
    demonstrations: tuple[Demonstration, ...] = ()
    output: OutputContract = TextContract()


class PromptParameters(BaseModel):
    """Sampling parameters of every step's call."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=0.0, ge=0, le=2)
    max_output_tokens: int = Field(default=512, ge=1, le=1_000_000)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: tuple[str, ...] = ()
    seed: int | None = None
    extra: dict[str, JsonValue] = Field(default_factory=dict)


class PromptVersion(BaseModel):
    """An immutable prompt: steps, model and parameters. Its id is the SHA-256 of exactly these."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: tuple[PromptStep, ...] = Field(min_length=1)
    model: str = Field(pattern=MODEL_PATTERN)
    parameters: PromptParameters = PromptParameters()

    @field_validator("steps")
    @classmethod
    def _names_are_unique(cls, value: tuple[PromptStep, ...]) -> tuple[PromptStep, ...]:
        if len({step.name for step in value}) != len(value):
            raise ValueError("two steps have the same name")
        return value

    @model_validator(mode="after")
    def _is_hashable_text(self) -> Self:
        for step in self.steps:
            (step.system_prompt + step.output_prompt).encode("utf-8")
        return self

    @cached_property
    def id(self) -> str:
        """SHA-256 (64 hex digits) of `content()`."""
        return content_id(self.content())

    def content(self) -> dict[str, Any]:
        """What the id hashes, as JSON values."""
        return self.model_dump(mode="json")

    @classmethod
    def from_content(cls, content: Mapping[str, Any]) -> PromptVersion:
        """The version whose `content()` this is.

        Raises:
            pydantic.ValidationError: `content` is not a prompt version's.
        """
        return cls.model_validate(dict(content))

    def with_steps(self, steps: tuple[PromptStep, ...]) -> PromptVersion:
        """The same model and parameters with other steps."""
        return PromptVersion(steps=steps, model=self.model, parameters=self.parameters)
