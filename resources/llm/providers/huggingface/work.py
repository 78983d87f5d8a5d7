"""One call on its way through the worker: what it asks, and what was generated so far."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from resources.llm.types import FinishReason, Request


@dataclass(slots=True)
class Work:
    """A request as token ids. The worker's thread fills in the rest.

    Attributes:
        prompt: ids of the whole prompt.
        dropped: set when nobody waits for the answer any more; generation of this row then stops.
        started: set when the worker takes it up.
        generated: ids of the answer so far, the end mark included.
        text: the answer, once it is complete; a stop sequence and what follows cut off.
    """

    request: Request
    prompt: list[int]
    dropped: threading.Event = field(default_factory=threading.Event)
    started: bool = False
    generated: list[int] = field(default_factory=list)
    text: str = ""
    finish_reason: FinishReason = "stop"
