"""One chat message: what the renderer makes and every provider sends."""

from __future__ import annotations

from typing import Literal, NamedTuple

Role = Literal["system", "user", "assistant"]


class Message(NamedTuple):
    """A role and its text, byte for byte as the provider receives it."""

    role: Role
    content: str
