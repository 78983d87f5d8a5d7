"""Files of a batch job's results: one JSON object per line, each of which may have been billed."""

from __future__ import annotations

import re
from collections.abc import Callable, Container
from typing import Any

from domain.errors import FaultClass, ProviderError
from resources.llm.batch_api import LineResult
from resources.llm.providers.provider_json import read_json


def read_results(
    data: bytes, read_line: Callable[[Any], LineResult | None], id_field: str, ids: Container[str]
) -> list[LineResult]:
    """What `read_line` makes of each line; None passes one over.

    A whole line that is no JSON spoils only itself: its request, where `id_field` names one of `ids` in it, is answered
    by something that is no answer.

    Raises:
        ProviderError: MALFORMED; the last line is cut off or no line is JSON, so the file is not whole.
    """
    found: list[LineResult] = []
    unreadable: list[bytes] = []
    readable = 0
    lines = [line for line in data.split(b"\n") if line.strip()]
    for line in lines:
        try:
            told = read_json(line)
        except (ValueError, RecursionError):
            unreadable.append(line)
            continue
        readable += 1
        if (result := read_line(told)) is not None:
            found.append(result)
    if unreadable and (not readable or (unreadable[-1] is lines[-1] and not data.endswith(b"\n"))):
        raise ProviderError("the batch job's results are not JSON", fault=FaultClass.MALFORMED, status_code=200)
    return found + [lost for line in unreadable if (lost := _lost(line, id_field, ids)) is not None]


def _lost(line: bytes, id_field: str, ids: Container[str]) -> LineResult | None:
    # Inside a text the quotes would be escaped, so only a field of the line itself can match.
    named = {name.decode() for name in re.findall(rb'"%b"\s*:\s*"([\x20-\x7e]{1,200}?)"' % id_field.encode(), line)}
    custom_id = named.pop() if len(named) == 1 else ""
    if custom_id not in ids:
        return None
    return LineResult(custom_id, error=ProviderError("the line cannot be read", fault=FaultClass.MALFORMED))
