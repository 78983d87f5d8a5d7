"""What an optimizer may change about a step, and the prompt versions that makes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from domain.prompt import Demonstration, PromptStep, PromptVersion
from domain.rendering import StepRenderer

# A run goes through few candidates, row after row; these hold the variations of a bootstrap, too.
REMEMBERED_VERSIONS = 64
REMEMBERED_RENDERERS = 128

Inputs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class StepState:
    """A step's instructions and demonstrations (inputs and answer), hashable so that versions can be remembered."""

    system_prompt: str
    demonstrations: tuple[tuple[Inputs, str], ...]

    def applied_to(self, step: PromptStep) -> PromptStep:
        """`step` with these instructions and demonstrations."""
        return PromptStep(
            name=step.name,
            system_prompt=self.system_prompt,
            output_prompt=step.output_prompt,
            demonstrations=tuple(
                Demonstration(inputs=dict(inputs), output=output) for inputs, output in self.demonstrations
            ),
            output=step.output,
        )


class Versions:
    """The prompt versions and renderers that states make of one prompt, remembered. Safe in several threads."""

    def __init__(self, prompt: PromptVersion) -> None:
        self.prompt = prompt
        self.version = lru_cache(REMEMBERED_VERSIONS)(self._version)
        self.renderer = lru_cache(REMEMBERED_RENDERERS)(self._renderer)

    def _version(self, states: tuple[StepState, ...]) -> PromptVersion:
        """The prompt version with `states`, one per step."""
        steps = (state.applied_to(step) for state, step in zip(states, self.prompt.steps, strict=True))
        return self.prompt.with_steps(tuple(steps))

    def _renderer(self, step: int, state: StepState) -> StepRenderer:
        """The renderer of step number `step` with `state`.

        Raises:
            TemplateError: a demonstration does not fill the template.
        """
        return StepRenderer(state.applied_to(self.prompt.steps[step]))
