"""TF-IDF over the texts of one prompt, and label prototypes in that space."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Features = dict[str, float]
Vector = NDArray[np.float32]
Featurise = Callable[[str], Features]

# A label's own words against its demonstrations: they weigh like two or three of them.
LABEL_TEXT_WEIGHT = 1.5


class TextSpace:
    """Vectors of texts, weighted by how rare each feature is among `documents`.

    Args:
        documents: every text of the prompt that holds evidence; nothing else is known.
        featurise: from a text to its features; may be cached.
    """

    def __init__(self, documents: Sequence[str], featurise: Featurise) -> None:
        self._featurise = featurise
        found = Counter(feature for document in documents for feature in featurise(document))
        self._index = {feature: position for position, feature in enumerate(found)}
        occurrences = np.fromiter(found.values(), dtype=np.float32, count=len(found))
        self._rarity: Vector = np.log((len(documents) + 1) / (occurrences + 0.5)).astype(np.float32)

    @property
    def size(self) -> int:
        """Number of features."""
        return len(self._index)

    def sparse(self, text: str) -> tuple[NDArray[np.intp], Vector]:
        """Positions and weights of the known features of `text`; the weights have unit length."""
        known = [(self._index[name], weight) for name, weight in self._featurise(text).items() if name in self._index]
        positions = np.fromiter((position for position, _ in known), dtype=np.intp, count=len(known))
        weights = np.fromiter((weight for _, weight in known), dtype=np.float32, count=len(known))
        weights *= self._rarity[positions]
        length = float(np.sqrt(weights @ weights))
        return positions, weights / length if length else weights


class Prototypes:
    """One direction per label: the mean of its demonstrations and of what is said about the label.

    Every demonstration votes for its label with its similarity to the input. On few examples of short texts this
    beat nearest neighbours and ridge regression in the same space.

    Args:
        examples: (text, position of its label).
        label_texts: what is said about each label; may be empty.
    """

    def __init__(self, space: TextSpace, examples: Sequence[tuple[str, int]], label_texts: Sequence[str]) -> None:
        self._space = space
        directions = np.zeros((space.size, len(label_texts)), dtype=np.float32)
        counts = np.zeros(len(label_texts), dtype=np.float32)
        for text, label in examples:
            positions, weights = space.sparse(text)
            directions[positions, label] += weights
            counts[label] += 1
        directions /= np.sqrt(np.maximum(counts, 1))
        for label, text in enumerate(label_texts):
            positions, weights = space.sparse(text)
            directions[positions, label] += LABEL_TEXT_WEIGHT * weights
        lengths = np.linalg.norm(directions, axis=0)
        self._directions: Vector = (directions / np.where(lengths > 0, lengths, 1)).astype(np.float32)
        # Decides only where no word of the input is known: the label seen most often, else the first.
        self._prior: Vector = (counts * 1e-6).astype(np.float32)

    def scores(self, text: str) -> Vector:
        """Cosine of `text` with each label's prototype, in [0, 1]."""
        positions, weights = self._space.sparse(text)
        return weights @ self._directions[positions] + self._prior

    def best(self, text: str) -> int:
        """Position of the label with the highest score."""
        return int(np.argmax(self.scores(text)))
