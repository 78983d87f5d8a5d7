"""Which partitions a person means."""

from __future__ import annotations

import pytest

from domain.errors import NotFoundError
from orchestration.backfill.selection import make_request, select

ORDER = ["support_mail", "support_chat", "refunds", "2026-11-01", "2026-11-02", "2026-11-03"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("all", ORDER),
        (["refunds"], ["refunds"]),
        ("refunds", ["refunds"]),
        (["refunds", "support_mail"], ["support_mail", "refunds"]),
        (["support_*"], ["support_mail", "support_chat"]),
        (["2026-11-02..2026-11-03", "refunds"], ["refunds", "2026-11-02", "2026-11-03"]),
    ],
)
def test_keys_patterns_and_ranges(written, meant) -> None:
    assert list(select(written, ORDER)) == meant


@pytest.mark.parametrize("written", ["refund", "billing_*", "2026-11-01..2026-11-09", "2026-11-03..2026-11-01"])
def test_what_names_nothing_is_an_error(written: str) -> None:
    with pytest.raises(NotFoundError, match="partition"):
        select([written], ORDER)


def test_a_slip_of_the_pen_is_guessed() -> None:
    with pytest.raises(NotFoundError, match="did you mean `refunds`"):
        select(["refund"], ORDER)


def test_a_request_is_the_same_in_any_order() -> None:
    one = make_request(["evaluation"], ["a", "b"], force=False)
    assert one.digest == make_request(["evaluation"], ["b", "a", "a"], force=False).digest
    assert make_request(["evaluation"], "a", force=False) == make_request(["evaluation"], ["a"], force=False)
    assert one.digest != make_request(["evaluation"], "all", force=False).digest
    assert one.digest != make_request(["evaluation"], ["a", "b"], force=True).digest
