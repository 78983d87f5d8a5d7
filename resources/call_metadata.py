"""Writing what calls came to into the metadata of the asset or op that made them."""

from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg

from resources.llm.tally import Tally


class CallMetadata:
    """A block in which `tally` counts; at its end the sums so far are in the metadata of `context`.

    Several blocks of one asset add up. A context without metadata (a sensor's, None) gets nothing.
    """

    def __init__(self, context: Any) -> None:
        self._context = context
        self.tally = _tally_of(context)

    def __enter__(self) -> "CallMetadata":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not isinstance(self._context, dg.OpExecutionContext | dg.AssetExecutionContext):
            return
        try:
            _write(self._context, self.tally.as_dict())
        except dg.DagsterInvariantViolationError as problem:
            self._context.log.warning(f"the calls' cost is missing in the metadata: {problem}")


def collected(context: Any) -> dict[str, Any]:
    """What the calls of `context` came to so far; empty where it opened no block."""
    tally = _tallies.get(context)
    return {} if tally is None else dict(tally.as_dict())


_tallies: WeakKeyDictionary[Any, Tally] = WeakKeyDictionary()


def _tally_of(context: Any) -> Tally:
    if context is None:
        return Tally()
    with suppress(TypeError):
        return _tallies.setdefault(context, Tally())
    return Tally()


def _write(context: dg.OpExecutionContext | dg.AssetExecutionContext, metadata: Mapping[str, Any]) -> None:
    for output in context.op_def.output_defs:
        if not output.is_dynamic:
            context.add_output_metadata(metadata, output_name=output.name)
