"""YAML with line numbers, so that every error can name its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from domain.errors import InputError

Location = tuple[str | int, ...]
Parsed = tuple[Any, dict[Location, int]]

# libyaml's parser is nine times as fast as Python's; not every build of PyYAML has it.
_FAST: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load_yaml(path: Path) -> tuple[dict[str, Any], dict[Location, int]]:
    """The mapping in `path`, and the 1-based line of every key and item in it.

    Raises:
        InputError: the file is missing, not UTF-8, not YAML, no mapping, or repeats a key.
    """
    text = _read_text(path)
    try:
        value, lines = _parsed(text, path)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = f"not valid YAML: {error.problem or error.context}"
        row = mark.line + 1 if mark else None
        raise InputError(problem, file=str(path), row=row, mend="check indentation, quotes and colons.") from error
    except yaml.YAMLError as error:
        raise InputError(f"not valid YAML: {error}", file=str(path), mend="save it as plain text.") from error
    if not isinstance(value, dict):
        raise InputError("the file holds no mapping of fields", file=str(path), mend="start it with `name: …`.")
    return value, lines


def _parsed(text: str, path: Path) -> Parsed:
    """What the fast parser refuses is left to Python's: that one names the line a person would look at."""
    try:
        return _parsed_by(_FAST, text, path)
    except yaml.YAMLError:
        return _parsed_by(yaml.SafeLoader, text, path)


def _parsed_by(kind: type[Any], text: str, path: Path) -> Parsed:
    loader = kind(text)
    try:
        node = loader.get_single_node()
        lines: dict[Location, int] = {}
        _collect(node, (), lines, path)
        return (loader.construct_document(node) if node is not None else None), lines
    finally:
        loader.dispose()


def line_of(lines: dict[Location, int], location: Location) -> int | None:
    """The line of `location`, or of the nearest part of it that is in the file."""
    for length in range(len(location), 0, -1):
        line = lines.get(location[:length])
        if line is not None:
            return line
    return None


def _read_text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=str(path), mend="check the path.") from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = raw.count(b"\n", 0, error.start) + 1
        raise InputError("not UTF-8 text", file=str(path), row=row, mend="save the file as UTF-8.") from error


def _collect(node: yaml.Node | None, location: Location, lines: dict[Location, int], path: Path) -> None:
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            here = (*location, key_node.value)
            line = key_node.start_mark.line + 1
            if here in lines:
                raise InputError(
                    "this key stands twice", file=str(path), row=line, field=".".join(map(str, here)), mend="keep one."
                )
            lines[here] = line
            _collect(value_node, here, lines, path)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*location, index)] = item.start_mark.line + 1
            _collect(item, (*location, index), lines, path)
