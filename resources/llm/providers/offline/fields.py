"""What a JSON schema allows one field to be, as far as the reader understands schemas."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

FieldKind = Literal["enum", "number", "integer", "string", "object", "other"]

_FORMATS = {
    "date": r"\d{4}-\d{2}-\d{2}",
    "email": r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    "uri": r"https?://[^\s<>\"]+",
}
MAX_DEPTH = 3


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field.

    Attributes:
        values: of an enum, `null` left out.
        about: the field's name and description, as words.
        pattern: strings must contain a match; None where there is none or Python cannot read it.
        minimum: smallest number allowed.
        maximum: largest number allowed.
        properties: of an object, by name.
        required: names an object must have.
    """

    kind: FieldKind
    about: str
    nullable: bool = False
    values: tuple[Any, ...] = ()
    pattern: re.Pattern[str] | None = None
    minimum: float | None = None
    maximum: float | None = None
    properties: dict[str, FieldSpec] = field(default_factory=dict)
    required: frozenset[str] = frozenset()

    def allows(self, value: str | float) -> bool:
        """Whether pattern, range and wholeness admit a value copied from a text."""
        if isinstance(value, str):
            return self.pattern is None or self.pattern.search(value) is not None
        whole = self.kind != "integer" or float(value).is_integer()
        above = self.minimum is None or value >= self.minimum
        return whole and above and (self.maximum is None or value <= self.maximum)


def field_spec(name: str, schema: Any, root: dict[str, Any], depth: int = 0) -> FieldSpec:
    """The field `name` with `schema`, whose local references are looked up in `root`."""
    schema, nullable = _resolve(schema, root)
    about = " ".join([name.replace("_", " "), *(str(schema[key]) for key in ("title", "description") if key in schema)])
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else list(types)
    nullable = nullable or "null" in types
    kinds = [kind for kind in types if kind != "null"]
    values = _enumerated(schema, kinds)
    if values is not None:
        nullable = nullable or None in values
        return FieldSpec("enum", about, nullable, tuple(value for value in values if value is not None))
    if kinds == ["object"] and depth < MAX_DEPTH:
        return _object(about, nullable, schema, root, depth)
    if kinds in (["number"], ["integer"], ["string"]):
        return FieldSpec(
            kind="string" if kinds == ["string"] else "integer" if kinds == ["integer"] else "number",
            about=about,
            nullable=nullable,
            pattern=_pattern(schema),
            minimum=_number(schema.get("minimum")),
            maximum=_number(schema.get("maximum")),
        )
    return FieldSpec("other", about, nullable)


def _object(about: str, nullable: bool, schema: dict[str, Any], root: dict[str, Any], depth: int) -> FieldSpec:
    properties = schema.get("properties", {})
    return FieldSpec(
        kind="object",
        about=about,
        nullable=nullable,
        properties={name: field_spec(name, part, root, depth + 1) for name, part in properties.items()},
        required=frozenset(schema.get("required", [])),
    )


def _resolve(schema: Any, root: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """`schema` without references and without a choice between one schema and null."""
    nullable = False
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, dict):
            return {}, nullable
        branches = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(schema.get("$ref"), str):
            schema = {**_local(schema["$ref"], root), **{key: schema[key] for key in schema if key != "$ref"}}
        elif isinstance(branches, list) and "type" not in schema:
            others = [branch for branch in branches if branch != {"type": "null"}]
            nullable = nullable or len(others) < len(branches)
            outer = {key: schema[key] for key in ("title", "description") if key in schema}
            schema = {**others[0], **outer} if len(others) == 1 and isinstance(others[0], dict) else outer
        else:
            break
    return schema, nullable


def _local(reference: str, root: dict[str, Any]) -> dict[str, Any]:
    target: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        target = target.get(part) if isinstance(target, dict) else None
    return target if isinstance(target, dict) else {}


def _enumerated(schema: dict[str, Any], kinds: list[str]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    if isinstance(schema.get("enum"), list):
        return schema["enum"]
    return [True, False] if kinds == ["boolean"] else None


def _pattern(schema: dict[str, Any]) -> re.Pattern[str] | None:
    text = schema.get("pattern") or _FORMATS.get(str(schema.get("format")))
    try:
        return re.compile(text) if isinstance(text, str) else None
    except re.error:
        return None  # JSON Schema's dialect allows what Python's does not; then anything may fit


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None
