"""Vectors of embedding models: as the text that calls carry and that is stored, and the angle between two."""

from __future__ import annotations

import binascii
import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from math import fsum, hypot, isfinite

from domain.errors import OutputParseError

_BYTES = 4


def vector_text(numbers: Sequence[float]) -> str:
    """The vector as little-endian 32-bit floats in base64, the form in which providers send them.

    Raises:
        OutputParseError: it is empty, or holds a number that is not finite in 32 bits.
    """
    try:
        packed = struct.pack(f"<{len(numbers)}f", *numbers)
    except (struct.error, OverflowError, TypeError):
        raise OutputParseError("a number of the vector is none of 32 bits") from None
    text = b64encode(packed).decode("ascii")
    read_vector(text)
    return text


def read_vector(text: str) -> tuple[float, ...]:
    """The vector that `vector_text` wrote.

    Raises:
        OutputParseError: the text is no such vector.
    """
    try:
        packed = b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise OutputParseError("the vector is not base64") from None
    if not packed or len(packed) % _BYTES:
        raise OutputParseError(f"{len(packed)} bytes are no vector of 32-bit numbers")
    numbers = struct.unpack(f"<{len(packed) // _BYTES}f", packed)
    if not all(map(isfinite, numbers)):
        raise OutputParseError("the vector holds a number that is not finite")
    return numbers


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """Σ lᵢ·rᵢ / (|l|·|r|), from -1 to 1: the cosine of the angle between two vectors, whatever their lengths.

    Raises:
        OutputParseError: they have different numbers of dimensions, or one of them is zero and has no direction.
    """
    if len(left) != len(right):
        raise OutputParseError(f"the vectors have {len(left)} and {len(right)} dimensions")
    lengths = hypot(*left), hypot(*right)
    if not all(lengths):
        raise OutputParseError("a vector is zero, so it has no direction")
    # Each is divided first: the product of two lengths can leave the range of floating-point numbers.
    dot = fsum((one / lengths[0]) * (other / lengths[1]) for one, other in zip(left, right, strict=True))
    return min(1.0, max(-1.0, dot))
