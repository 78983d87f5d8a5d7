"""How a task file asks for likeness of meaning: by the vectors of an embedding model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from domain.evaluators.spec_base import SCORE_NAME_PATTERN, Spec
from domain.prompt import MODEL_PATTERN

EMBEDDINGS = "embeddings"
"""The kind of provider whose models turn texts into vectors, and can do nothing else."""


class EmbeddingSimilaritySpec(Spec):
    """Cosine between the embeddings of answer and expected text: likeness of meaning, as a model sees it."""

    kind: Literal["embedding_similarity"] = "embedding_similarity"
    model: str = Field(pattern=MODEL_PATTERN, description="An embedding model, e.g. embeddings/text-embedding-3-small.")
    name: str = Field(
        default="embedding_similarity", pattern=SCORE_NAME_PATTERN, description="What its scores are called."
    )
    lowest: float = Field(default=0.0, ge=-1, le=1, description="This cosine and all below score 0.")
    highest: float = Field(default=1.0, ge=-1, le=1, description="This cosine and all above score 1; linear between.")
    threshold: float | None = Field(
        default=None, ge=-1, le=1, description="Right or wrong instead: 1 from this cosine on, else 0."
    )
    dimensions: int | None = Field(
        default=None, ge=1, le=100_000, description="Length of the vectors, where the model can shorten them."
    )

    @property
    def score_name(self) -> str:
        """`name`."""
        return self.name

    @model_validator(mode="after")
    def _one_mapping(self) -> Self:
        if not self.lowest < self.highest:
            raise ValueError("lowest must lie below highest")
        if self.threshold is not None and (self.lowest, self.highest) != (0.0, 1.0):
            raise ValueError("threshold makes every score 0 or 1, so lowest and highest mean nothing beside it")
        return self

    def value(self, cosine: float) -> float:
        """The score, 0 to 1, that a cosine stands for."""
        if self.threshold is not None:
            return float(cosine >= self.threshold)
        return min(1.0, max(0.0, (cosine - self.lowest) / (self.highest - self.lowest)))
