"""Who gets which variant: the same every time, in proportion, moved as little as can be, never in two of one layer."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
from experiments.designs import experiment
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from domain.errors import InputError
from domain.experiment.allocation import BUCKETS, Allocation, bucket_of, bucket_quotas
from domain.experiment.layers import is_inside, overlapping, refuse_overlap
from domain.experiment.spec import LayerRange

WEIGHTS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 500), min_size=1)
UNITS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=200)


def owners(allocation: Allocation) -> list[str]:
    return [allocation.variant_of(bucket) for bucket in range(BUCKETS)]


@settings(deadline=None)
@given(st.text(max_size=20), UNITS)
def test_a_unit_keeps_its_bucket(salt: str, unit: str) -> None:
    assert bucket_of(salt, unit) == bucket_of(salt, unit)
    assert 0 <= bucket_of(salt, unit) < BUCKETS


def test_buckets_are_what_they_were_in_every_earlier_release() -> None:
    """A change of the hash would move every unit of every running experiment."""
    assert [bucket_of("wording", unit) for unit in ("1", "user-17", "größe")] == [
        int.from_bytes(hashlib.sha256(f"7:wording:{unit}".encode()).digest()[:8], "big") % 10_000
        for unit in ("1", "user-17", "größe")
    ]
    assert bucket_of("wording", "user-17") == 9760


def test_another_process_gives_the_same_buckets() -> None:
    """Python's own hash differs between processes."""
    code = "from domain.experiment.allocation import bucket_of; print([bucket_of('s', str(n)) for n in range(50)])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == str([bucket_of("s", str(number)) for number in range(50)])


def test_units_spread_evenly_and_salts_deal_independently() -> None:
    units = [f"user-{number}" for number in range(40_000)]
    counts = [0] * 20
    both = [[0, 0], [0, 0]]
    for unit in units:
        one, other = bucket_of("one", unit), bucket_of("other", unit)
        counts[one * 20 // BUCKETS] += 1
        both[one % 2][other % 2] += 1
    assert stats.chisquare(counts).pvalue > 0.001
    assert stats.chi2_contingency(both).pvalue > 0.001


@settings(max_examples=40, deadline=None)
@given(WEIGHTS)
def test_every_bucket_belongs_to_one_variant_in_proportion(weights: dict[str, int]) -> None:
    allocation = Allocation.of(weights)
    dealt = owners(allocation)
    total = sum(weights.values())
    for variant, weight in weights.items():
        assert abs(dealt.count(variant) - BUCKETS * weight / total) < 1
        assert allocation.shares()[variant] == dealt.count(variant) / BUCKETS
    assert Allocation.from_list(allocation.as_list()) == allocation


@settings(max_examples=40, deadline=None)
@given(WEIGHTS, st.lists(WEIGHTS, min_size=1, max_size=4))
def test_other_weights_move_no_bucket_more_than_they_must(before: dict[str, int], later: list[dict[str, int]]) -> None:
    allocation = Allocation.of(before)
    for weights in later:
        changed = allocation.reweighted(weights)
        old, new = bucket_quotas(before), bucket_quotas(weights)
        least = sum(max(0, count - new.get(variant, 0)) for variant, count in old.items())
        dealt = owners(changed)
        assert sum(one != other for one, other in zip(owners(allocation), dealt, strict=True)) == least
        assert {variant: dealt.count(variant) for variant in set(dealt)} == {v: n for v, n in new.items() if n}
        allocation, before = changed, weights


def test_one_weight_raised_takes_units_from_the_others_and_moves_none_between_them() -> None:
    before, after = Allocation.of({"a": 1, "b": 1, "c": 1}), {"a": 1, "b": 1, "c": 2}
    moves = [(x, y) for x, y in zip(owners(before), owners(before.reweighted(after)), strict=True) if x != y]
    assert {to for _, to in moves} == {"c"}
    assert len(moves) == pytest.approx(BUCKETS / 6, abs=2)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, BUCKETS - 1), st.integers(1, BUCKETS)), min_size=2, max_size=5),
    st.lists(UNITS, min_size=1, max_size=50),
)
def test_experiments_of_one_layer_that_are_let_in_never_share_a_unit(
    wishes: list[tuple[int, int]], units: list[str]
) -> None:
    placed = []
    for number, (start, length) in enumerate(wishes):
        layer = {"name": "shop", "start": start, "end": min(BUCKETS, start + length)}
        wished = experiment(name=f"e{number}", layer=layer)
        others = [range(one.layer.start, one.layer.end) for one in placed]
        overlaps = any(set(range(layer["start"], layer["end"])) & set(other) for other in others)
        assert (overlapping(wished, placed) is not None) == overlaps
        if not overlaps:
            placed.append(wished)
    for unit in units:
        assert sum(is_inside(one.layer, unit) for one in placed) <= 1


def test_an_overlap_is_refused_with_the_range_that_is_taken() -> None:
    first = experiment(name="first", layer={"name": "shop", "end": 5000})
    second = experiment(name="second", layer={"name": "shop", "start": 4999})
    with pytest.raises(
        InputError, match="4999 to 10000 of layer 'shop' overlap those of experiment 'first', 0 to 5000"
    ):
        refuse_overlap(second, [first])
    refuse_overlap(second, [experiment(name="first", layer={"name": "other"}), second])


def test_the_place_in_a_layer_says_nothing_about_the_variant() -> None:
    half = LayerRange(name="shop", end=5000)
    table = [[0, 0], [0, 0]]
    for number in range(20_000):
        unit = f"u{number}"
        table[is_inside(half, unit)][bucket_of("wording", unit) < 5000] += 1
    assert stats.chi2_contingency(table).pvalue > 0.001
    assert abs(sum(table[1]) - 10_000) < 350


@pytest.mark.parametrize("unit", ["", "x" * 201, "a\0b", "half \ud83d"])
def test_a_unit_id_that_cannot_be_kept_is_refused(unit: str) -> None:
    with pytest.raises(InputError, match="unit id"):
        bucket_of("s", unit)


@pytest.mark.parametrize("weights", [{}, {"a": 0, "b": 1}])
def test_impossible_weights_are_refused(weights: dict[str, int]) -> None:
    with pytest.raises(InputError):
        Allocation.of(weights)


def test_a_ramp_is_allowed_and_its_reverse_is_not() -> None:
    spec = experiment()
    small, even = {"control": 0.9, "shorter": 0.1}, {"control": 0.5, "shorter": 0.5}
    spec.refuse_shrunk_share(small, even)
    spec.refuse_shrunk_share(small, {"control": 0.1, "shorter": 0.9})
    with pytest.raises(InputError, match=r"10\.0% to 90\.0%"):
        spec.refuse_shrunk_share(even, small)
