"""From a prompt version and rendered messages to the request every caller sends."""

from __future__ import annotations

from domain.message import Message
from domain.prompt import PromptVersion
from resources.llm.types import Request


def build_request(prompt: PromptVersion, messages: tuple[Message, ...], sample: int | None = None) -> Request:
    """The request for one step: the prompt's model and parameters with these messages."""
    parameters = prompt.parameters
    return Request(
        model=prompt.model,
        messages=messages,
        max_output_tokens=parameters.max_output_tokens,
        temperature=parameters.temperature,
        top_p=parameters.top_p,
        stop=parameters.stop,
        seed=parameters.seed,
        sample=sample,
        extra=dict(parameters.extra),
    )
