from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.alias_moves import MoveKind, is_held, version_before


@dataclass(frozen=True)
class Entry:
    kind: MoveKind
    to_id: str


def newest_first(*oldest_first: tuple[MoveKind, str]) -> list[Entry]:
    return [Entry(kind, to_id) for kind, to_id in reversed(oldest_first)]


START = ("first", "v1")


@pytest.mark.parametrize(
    ("moves", "before"),
    [
        ([], None),
        ([START], None),
        ([START, ("gate", "v5")], "v1"),
        ([START, ("gate", "v5"), ("override", "v3")], "v5"),
        ([START, ("gate", "v5"), ("rollback", "v1")], None),
        ([START, ("gate", "v3"), ("gate", "v5"), ("rollback", "v3")], "v1"),
        ([START, ("gate", "v5"), ("rollback", "v1"), ("release", "v1"), ("gate", "v6")], "v1"),
        ([START, ("gate", "v5"), ("hand", "v1"), ("release", "v1")], "v5"),
    ],
)
def test_a_rollback_goes_to_the_version_before(moves, before):
    assert version_before(newest_first(*moves)) == before


@pytest.mark.parametrize(
    ("kind", "held"),
    [("first", False), ("gate", False), ("hand", True), ("override", True), ("rollback", True), ("release", False)],
)
def test_what_a_person_did_last_holds(kind, held):
    assert is_held(newest_first(START, ("rollback", "v1"), (kind, "v2"))) is held


def test_an_alias_nobody_moved_is_not_held():
    assert not is_held([])


@given(st.lists(st.sampled_from(["v2", "v3", "v4"]), max_size=6))
def test_rolling_back_walks_the_pile_down_and_ends(versions):
    moves = [START, *(("gate", version) for version in versions)]
    seen = []
    while (before := version_before(newest_first(*moves))) is not None:
        seen.append(before)
        moves.append(("rollback", before))
    assert seen == ["v1", *versions][:-1][::-1]
