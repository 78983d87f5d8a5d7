"""What a prompt looks like on a materialization's page."""

from __future__ import annotations

from typing import Any

import dagster as dg

from domain.contracts import contract_section
from domain.prompt import PromptVersion


def prompt_metadata(prompt: PromptVersion) -> dict[str, Any]:
    """Model, size and full text of a prompt, for people."""
    demonstrations = sum(len(step.demonstrations) for step in prompt.steps)
    return {
        "model": prompt.model,
        "steps": len(prompt.steps),
        "demonstrations": demonstrations,
        "prompt": dg.MetadataValue.md("\n\n".join(_step_text(prompt, index) for index in range(len(prompt.steps)))),
    }


def _step_text(prompt: PromptVersion, index: int) -> str:
    step = prompt.steps[index]
    system = f"{step.system_prompt}\n\n{contract_section(step.output)}"
    shown = "\n\n".join(f"{_fields(demo.inputs)}\n→ {demo.output}" for demo in step.demonstrations[:3])
    more = f"\n\n… and {len(step.demonstrations) - 3} more" if len(step.demonstrations) > 3 else ""
    parts = [f"**{step.name}**", _fence(system), _fence(step.output_prompt)]
    if shown:
        parts.append(f"{len(step.demonstrations)} demonstrations:\n{_fence(shown + more)}")
    return "\n\n".join(parts)


def _fields(inputs: dict[str, str]) -> str:
    return "\n".join(f"{name}: {text}" for name, text in inputs.items())


def _fence(text: str) -> str:
    return f"````text\n{text.strip()}\n````"
