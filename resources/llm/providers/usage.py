"""What providers tell of the tokens they counted, as far as it can be true."""

from __future__ import annotations

from typing import TypeGuard

from domain.pricing import MAX_TOKENS, Usage


def counted_usage(given: object, said: object, cached: object = 0) -> Usage | None:
    """The usage behind the counts of input, output and cached input; None where one of the first two is no such count.

    Counts that no answer can have (below 0, or an unsigned -1) count as none: the ledger could not hold them.
    """
    if not _is_count(given) or not _is_count(said):
        return None
    return Usage(
        input_tokens=given, output_tokens=said, cached_input_tokens=min(cached, given) if _is_count(cached) else 0
    )


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_TOKENS
