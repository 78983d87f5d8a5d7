"""From messages to the token ids a model reads."""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

from domain.errors import FaultClass, ProviderError
from domain.message import Message

# For tokenizers that come without a chat template (base models): plain, and with the marks the tokenizer adds itself.
FALLBACK_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


def encode_chat(tokenizer: Any, messages: tuple[Message, ...]) -> list[int]:
    """Ids of the whole prompt, up to where the answer begins.

    Raises:
        ProviderError: INVALID_REQUEST, never sent; the model's template refuses these messages.
    """
    if not messages:
        raise _refused("the request holds no message")
    if tokenizer.chat_template is None:
        text = tokenizer.apply_chat_template(
            _plain(messages), chat_template=FALLBACK_TEMPLATE, add_generation_prompt=True, tokenize=False
        )
        return tokenizer(text)["input_ids"]
    text = _rendered(tokenizer, messages)
    if text is None and messages[0].role == "system":
        text = _rendered(tokenizer, _without_system(messages))
    if text is None:
        raise _refused("the model's chat template refuses these messages")
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def _rendered(tokenizer: Any, messages: tuple[Message, ...]) -> str | None:
    try:
        return tokenizer.apply_chat_template(_plain(messages), add_generation_prompt=True, tokenize=False)
    except TemplateError:
        return None


def _without_system(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The system text put before the first user text: some templates (Gemma's) know no system role."""
    system, *rest = messages
    if rest and rest[0].role == "user":
        return (Message("user", f"{system.content}\n\n{rest[0].content}"), *rest[1:])
    return (Message("user", system.content), *rest)


def _plain(messages: tuple[Message, ...]) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in messages]


def _refused(problem: str) -> ProviderError:
    return ProviderError(
        problem,
        fault=FaultClass.INVALID_REQUEST,
        never_sent=True,
        mend="use system, user and assistant messages in the order the model was trained on.",
    )
