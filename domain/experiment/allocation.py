"""Sticky assignment: a unit's hash chooses one of 10,000 buckets, and every bucket belongs to one variant."""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domain.errors import InputError

BUCKETS = 10_000
LONGEST_UNIT_ID = 200


def bucket_of(salt: str, unit_id: str) -> int:
    """The bucket (0 to 9,999) of a unit: SHA-256 of salt and unit id. Other salts deal units independently.

    Raises:
        InputError: `unit_id` cannot be kept, see `check_unit_id`.
    """
    check_unit_id(unit_id)
    # The length keeps ("a:", "b") and ("a", ":b") apart.
    text = f"{len(salt)}:{salt}:{unit_id}"
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def check_unit_id(unit_id: str) -> None:
    """Return only if the ledger and the tables can hold `unit_id`.

    Raises:
        InputError: it is empty, longer than 200 characters, or holds NUL or half a surrogate pair.
    """
    held = bool(unit_id) and len(unit_id) <= LONGEST_UNIT_ID and "\0" not in unit_id
    if not held or any("\ud800" <= character <= "\udfff" for character in unit_id):
        raise InputError(
            f"a unit id has 1 to {LONGEST_UNIT_ID} characters, no NUL and no half surrogate pair",
            field="unit_id",
            mend="use the id of a user, a session or a ticket.",
        )


@dataclass(frozen=True, slots=True)
class BucketRange:
    """Buckets `start` to `end` − 1."""

    start: int
    end: int
    variant: str


@dataclass(frozen=True, slots=True)
class Allocation:
    """Which variant each of the 10,000 buckets belongs to: disjoint ranges that cover all, in order."""

    ranges: tuple[BucketRange, ...]

    @classmethod
    def of(cls, weights: Mapping[str, int]) -> Allocation:
        """Buckets in the proportion of `weights`, dealt in their order.

        Raises:
            InputError: there is no weight, or one is not positive.
        """
        return cls(()).reweighted(weights)

    def reweighted(self, weights: Mapping[str, int]) -> Allocation:
        """The allocation by other `weights` that moves the fewest buckets.

        A variant that shrinks gives up its last buckets, and only those change hands: Σ max(0, old − new) of them,
        which no allocation with these shares can undercut.

        Raises:
            InputError: there is no weight, or one is not positive.
        """
        left = bucket_quotas(weights)
        owners: list[str | None] = [None] * BUCKETS
        for one in self.ranges:
            kept = min(one.end - one.start, left.get(one.variant, 0))
            owners[one.start : one.start + kept] = [one.variant] * kept
            if kept:
                left[one.variant] -= kept
        wanting = iter([variant for variant, count in left.items() for _ in range(count)])
        return Allocation(_ranges([owner if owner is not None else next(wanting) for owner in owners]))

    def variant_of(self, bucket: int) -> str:
        """The variant that `bucket` belongs to."""
        return self.ranges[bisect_right(self.ranges, bucket, key=lambda one: one.start) - 1].variant

    def shares(self) -> dict[str, float]:
        """Each variant's share of the buckets; the shares add up to 1."""
        counts: dict[str, int] = {}
        for one in self.ranges:
            counts[one.variant] = counts.get(one.variant, 0) + one.end - one.start
        return {variant: count / BUCKETS for variant, count in counts.items()}

    def as_list(self) -> list[list[int | str]]:
        """JSON values, as `from_list` reads them."""
        return [[one.start, one.end, one.variant] for one in self.ranges]

    @classmethod
    def from_list(cls, values: Sequence[Sequence[int | str]]) -> Allocation:
        """The allocation whose `as_list` this is."""
        return cls(tuple(BucketRange(int(start), int(end), str(variant)) for start, end, variant in values))


def bucket_quotas(weights: Mapping[str, int]) -> dict[str, int]:
    """How many of the 10,000 buckets each variant gets, by the largest-remainder method.

    Raises:
        InputError: there is no weight, or one is not positive.
    """
    for variant, weight in weights.items():
        if weight <= 0:
            raise InputError(
                f"the weight {weight} of {variant!r} is not positive", field="weight", mend="use 1 or more."
            )
    total = sum(weights.values())
    if not total:
        raise InputError("there is no variant to deal buckets to", field="variants", mend="name two or more.")
    quotas = {variant: BUCKETS * weight // total for variant, weight in weights.items()}
    by_remainder = sorted(weights, key=lambda variant: -(BUCKETS * weights[variant] % total))
    for variant in by_remainder[: BUCKETS - sum(quotas.values())]:
        quotas[variant] += 1
    return quotas


def _ranges(owners: Sequence[str]) -> tuple[BucketRange, ...]:
    starts = [position for position in range(BUCKETS) if position == 0 or owners[position] != owners[position - 1]]
    ends = [*starts[1:], BUCKETS]
    return tuple(BucketRange(start, end, owners[start]) for start, end in zip(starts, ends, strict=True))
