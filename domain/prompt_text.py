"""A prompt version as lines of text, and what differs between two."""

from __future__ import annotations

import json
from collections.abc import Iterator
from difflib import unified_diff

from domain.contracts import contract_section
from domain.prompt import PromptStep, PromptVersion


def prompt_diff(old_name: str, new_name: str, old: PromptVersion, new: PromptVersion) -> list[str]:
    """A unified diff of everything the two ids hash; empty for the same version."""
    return list(unified_diff(list(_lines(old)), list(_lines(new)), old_name, new_name, lineterm=""))


def step_demonstrations(step: PromptStep) -> list[str]:
    """Demonstrations as `field: text` lines and the answer."""
    return [
        "\n".join(f"{name}: {text}" for name, text in one.inputs.items()) + f"\n→ {one.output}"
        for one in step.demonstrations
    ]


def _lines(prompt: PromptVersion) -> Iterator[str]:
    """A prompt version as text: everything its id hashes, in the order it is read."""
    yield f"model: {prompt.model}"
    yield f"parameters: {json.dumps(prompt.parameters.model_dump(mode='json'), sort_keys=True)}"
    for step in prompt.steps:
        yield f"== step {step.name}"
        yield "-- system prompt"
        yield from step.system_prompt.splitlines()
        yield f"-- output contract: {step.output.kind}"
        yield from contract_section(step.output).splitlines()
        yield "-- output prompt"
        yield from step.output_prompt.splitlines()
        yield f"-- demonstrations: {len(step.demonstrations)}"
        for demonstration in step_demonstrations(step):
            yield from demonstration.splitlines()
