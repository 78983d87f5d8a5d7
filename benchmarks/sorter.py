"""The scripted model that optimizers are timed against: it sorts texts, better with demonstrations and rules.

It knows the label of every text it may be asked about, and says it where the text is easy enough for the prompt: the
more demonstrations, and with a written rule, the more texts are. It reads the product's messages and those of DSPy's
chat and JSON adapters, and answers in the format it is asked in, so that both sides get the same model. Asked above
temperature 0, it is sometimes luckier and sometimes less.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

TEXT_FIELD = "text"
LABEL_FIELD = "label"
ENOUGH_DEMONSTRATIONS = 8
LUCK = 0.3
RULE = "Rule"

_RULE = re.compile(rf"{RULE} \d+")
_WANTED = re.compile(r"`\[\[ ## (\w+) ## ]]`")
_TEXT = re.compile(rf"\[\[ ## {TEXT_FIELD} ## ]]\n(.*?)(?:\n\n(?:\[\[ ## |Respond with )|\Z)", re.DOTALL)
_NAME = re.compile(r"`(\w+)`")
_MODULE = re.compile(r'"((?:\w+(?:\[\d+])?(?:\.\w+)*))"')


class Sorter:
    """Answers chat requests; asked the same things in another order, by other threads, it says the same.

    Args:
        labels: label by text.
    """

    def __init__(self, labels: dict[str, str]) -> None:
        self._labels = {_plain(text): label for text, label in labels.items()}
        self._names = sorted(set(labels.values()))
        self._draws: Counter[str] = Counter()
        self._rules = itertools.count(1)

    @classmethod
    def read(cls, path: Path) -> Sorter:
        """From a JSON object of labels by text."""
        return cls(json.loads(path.read_text(encoding="utf-8")))

    def answer(self, body: dict[str, Any]) -> str:
        """What the model says to this request."""
        messages = body["messages"]
        asked = messages[-1]["content"]
        wanted = [name for name in _WANTED.findall(asked) if name != "completed"]
        text = _shown_text(asked)
        if text in self._labels and wanted in ([], [LABEL_FIELD]):
            label = self._label(text, messages, body.get("temperature") or 0.0)
            return _in_fields({LABEL_FIELD: label}) if wanted else label
        if wanted:
            return _in_fields({name: self._written(name, asked) for name in wanted})
        return json.dumps({name: self._written(name, asked) for name in _NAME.findall(asked.strip().splitlines()[-1])})

    def _label(self, text: str, messages: list[dict[str, Any]], temperature: float) -> str:
        rules = _RULE.findall(" ".join(one["content"] for one in messages if one["role"] == "system"))
        shown = [_shown_text(one["content"]) for one in messages[:-1] if one["role"] == "user"]
        ability = 0.45 + 0.25 * min(1.0, len(shown) / ENOUGH_DEMONSTRATIONS) + (0.1 if rules else 0.0)
        # Some prompts are better than others. Only what both sides say alike counts: hence they search the same way.
        prompt = " ".join([*rules, *shown])
        ability += 0.1 * (_share(prompt) - 0.5)
        luck = LUCK * (2 * _share(self._draw(f"{text} {prompt}")) - 1) if temperature > 0 else 0.0
        right = self._labels[text]
        if _share(text) + luck < ability:
            return right
        wrong = [name for name in self._names if name != right]
        return wrong[int(_share(f"wrong {text}") * len(wrong))] if wrong else right

    def _draw(self, content: str) -> str:
        """Names the next draw of an answer to the same thing."""
        self._draws[content] += 1
        return f"{content} {self._draws[content]}"

    def _written(self, name: str, asked: str) -> str:
        rule = f"{RULE} {next(self._rules)}. " + "Mind every word of the question. " * 12
        if name != "module_advice":
            return rule
        names = _MODULE.findall(asked.partition("## module_names ##")[2])
        return json.dumps(dict.fromkeys(names, rule))


def _in_fields(values: dict[str, str]) -> str:
    fields = [f"[[ ## {name} ## ]]\n{value}" for name, value in values.items()]
    return "\n\n".join([*fields, "[[ ## completed ## ]]"])


def _shown_text(content: str) -> str:
    found = _TEXT.search(content)
    return _plain(found.group(1) if found else content.partition(": ")[2])


@lru_cache(10_000)
def _plain(text: str) -> str:
    return " ".join(text.split())


@lru_cache(10_000)
def _share(text: str) -> float:
    """A number from 0 to 1 that hangs on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64
