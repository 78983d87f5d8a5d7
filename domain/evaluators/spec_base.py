"""What all evaluator specs share."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

SCORE_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,49}$"


class Spec(BaseModel):
    """A part of a task file: frozen, and without fields nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def score_name(self) -> str:
        """What its scores are called, in tables and files: the kind, for kinds that have no `name`."""
        return str(getattr(self, "kind"))  # noqa: B009 (declared by the subclasses, each with its own literal)
