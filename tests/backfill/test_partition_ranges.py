"""Which partitions share a run."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from assets.partition_ranges import bridged_ranges, key_ranges, keys_of_run

ORDER = [f"k{n}" for n in range(12)]


@given(st.sets(st.sampled_from(ORDER)), st.one_of(st.none(), st.integers(1, 12)))
def test_every_wanted_key_is_in_one_run_of_neighbours(wanted: set[str], most: int | None) -> None:
    ranges = key_ranges(ORDER, wanted, most)

    assert [key for one in ranges for key in one.keys] == [key for key in ORDER if key in wanted]
    for one in ranges:
        first = ORDER.index(one.keys[0])
        assert list(one.keys) == ORDER[first : first + len(one.keys)]
        assert most is None or len(one.keys) <= most
        assert keys_of_run(one.tags, ORDER) == one.keys


@given(st.integers(1, 12), st.integers(1, 12))
def test_a_whole_set_takes_as_few_runs_as_can_be(size: int, most: int) -> None:
    assert len(key_ranges(ORDER[:size], ORDER, most)) == -(-size // most)


def test_keys_that_the_set_does_not_hold_are_left_out() -> None:
    assert [one.keys for one in key_ranges(["a", "c"], ["a", "b", "c"], None)] == [("a", "c")]


def test_a_run_whose_range_is_gone_covers_nothing() -> None:
    tags = key_ranges(ORDER, ORDER, None)[0].tags
    assert keys_of_run(tags, ORDER[1:]) == ()
    assert keys_of_run({}, ORDER) == ()


@given(st.sets(st.sampled_from(ORDER)), st.integers(1, 12), st.integers(1, 12))
def test_bridged_ranges_make_exactly_what_is_wanted(wanted: set[str], most: int, longest: int) -> None:
    ranges = bridged_ranges(ORDER, wanted, most, longest)

    assert [key for one in ranges for key in one.keys] == [key for key in ORDER if key in wanted]
    for one in ranges:
        assert len(one.keys) <= most
        assert ORDER.index(one.keys[-1]) - ORDER.index(one.keys[0]) < longest
        assert keys_of_run(one.tags, ORDER) == one.keys
    assert len(ranges) <= -(-len(wanted) // most) + -(-len(ORDER) // longest)


def test_keys_far_apart_share_a_run() -> None:
    assert [one.keys for one in bridged_ranges(ORDER, ["k0", "k5", "k9", "k11"], 3, 10)] == [
        ("k0", "k5", "k9"),
        ("k11",),
    ]
