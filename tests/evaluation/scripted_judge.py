"""A judge for the loopback server, whose grades follow a rule of the tests' own."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]
Behaviour = Callable[[Body], str]


def part(body: Body, tag: str) -> str:
    """What stands between `<tag>` and `</tag>` in the last message."""
    found = re.search(rf"<{tag}>\n(.*?)\n</{tag}>", body["messages"][-1]["content"], re.DOTALL)
    assert found is not None
    return found.group(1)


def grades(body: Body) -> str:
    """As many points as the answer has words, 5 at most."""
    words = len(part(body, "answer").split())
    return json.dumps({"reason": f"{words} words", "grade": max(1, min(5, words))})


def prefers_longer(body: Body) -> str:
    """The answer with more words; the first of two equally long ones."""
    first, second = (len(part(body, f"{place}_answer").split()) for place in ("first", "second"))
    return json.dumps({"reason": f"{first} against {second} words", "better": "first" if first >= second else "second"})


def with_judge(answer: Behaviour, judge: Behaviour = grades) -> Behaviour:
    """The task's model and the judge on one server."""
    return lambda body: judge(body) if body["model"] == "judge" else answer(body)


def judged(bodies: list[Body]) -> list[Body]:
    """The requests that went to the judge."""
    return [body for body in bodies if body["model"] == "judge"]
