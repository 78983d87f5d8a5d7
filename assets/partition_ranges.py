"""Putting many partitions into few runs: Dagster's runs cover a range of keys in the order of their partition set."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"
PARTITION = "dagster/partition"
ONLY = "promptory/partitions"


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Keys of a partition set that one run makes.

    Attributes:
        has_gaps: there are other keys between them, which the run leaves as they are.
    """

    keys: tuple[str, ...]
    has_gaps: bool = False

    @property
    def tags(self) -> dict[str, str]:
        """The tags of a run that covers them."""
        if len(self.keys) == 1:
            return {PARTITION: self.keys[0]}
        ends = {RANGE_START: self.keys[0], RANGE_END: self.keys[-1]}
        return {**ends, ONLY: json.dumps(self.keys)} if self.has_gaps else ends


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


def bridged_ranges(order: Sequence[str], wanted: Collection[str], most: int, longest: int) -> list[KeyRange]:
    """`wanted` in few ranges of `order`: of at most `most` keys each, and no longer than `longest` from end to end.

    What lies between them is in Dagster's range, too; the run's tags name what it is to make (`keys_to_make`).
    """
    place = {key: number for number, key in enumerate(order)}
    found: list[list[str]] = []
    for key in sorted((key for key in frozenset(wanted) if key in place), key=place.__getitem__):
        if not found or len(found[-1]) == most or place[key] - place[found[-1][0]] >= longest:
            found.append([])
        found[-1].append(key)
    return [KeyRange(tuple(keys), place[keys[-1]] - place[keys[0]] >= len(keys)) for keys in found]


def keys_to_make(tags: Mapping[str, str], covered: Sequence[str]) -> tuple[str, ...]:
    """Those of a run's partitions that it is to make: all, unless its tags name some."""
    if ONLY not in tags:
        return tuple(covered)
    named = frozenset(json.loads(tags[ONLY]))
    return tuple(key for key in covered if key in named)


def keys_of_run(tags: Mapping[str, str], order: Sequence[str]) -> tuple[str, ...]:
    """The keys that a run with these tags makes; none where it has no partition."""
    if PARTITION in tags:
        return (tags[PARTITION],)
    start, end = tags.get(RANGE_START), tags.get(RANGE_END)
    if start is None or end is None or start not in order or end not in order:
        return ()
    return keys_to_make(tags, order[order.index(start) : order.index(end) + 1])


def _closed(keys: list[str]) -> list[KeyRange]:
    return [KeyRange(tuple(keys))] if keys else []
