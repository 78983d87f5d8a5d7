"""Putting many partitions into few runs: Dagster's runs cover a range of keys in the order of their partition set."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Neighbouring keys of a partition set that one run makes."""

    keys: tuple[str, ...]

    @property
    def tags(self) -> dict[str, str]:
        """The tags of a run that covers them."""
        if len(self.keys) == 1:
            return {PARTITION: self.keys[0]}
        return {RANGE_START: self.keys[0], RANGE_END: self.keys[-1]}


def key_ranges(order: Sequence[str], wanted: Collection[str], most: int | None) -> list[KeyRange]:
    """`wanted` as ranges of `order`, each of at most `most` keys (None: any number).

    Keys that are not neighbours cannot share a run. Keys that `order` does not hold are left out.
    """
    chosen = frozenset(wanted)
    ranges: list[KeyRange] = []
    current: list[str] = []
    for key in order:
        if key not in chosen or len(current) == most:
            ranges.extend(_closed(current))
            current = []
        if key in chosen:
            current.append(key)
    ranges.extend(_closed(current))
    return ranges


def keys_of_run(tags: dict[str, str], order: Sequence[str]) -> tuple[str, ...]:
    """The keys that a run with these tags covers; none where it has no partition."""
    if PARTITION in tags:
        return (tags[PARTITION],)
    start, end = tags.get(RANGE_START), tags.get(RANGE_END)
    if start is None or end is None or start not in order or end not in order:
        return ()
    return tuple(order[order.index(start) : order.index(end) + 1])


def _closed(keys: list[str]) -> list[KeyRange]:
    return [KeyRange(tuple(keys))] if keys else []
