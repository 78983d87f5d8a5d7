"""The money harness finds what it looks for: every way in which books differ, and every cap that is not kept."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.books import Attempt, set_against
from benchmarks.cap_changes import CapWatch
from benchmarks.meter import InvoiceLine
from benchmarks.stores import Scope

BILLED = InvoiceLine("x1", "r1", "m", 100, 0.0, 9)
BILLED_UNHEARD = InvoiceLine("x2", "r2", "m", 70, 0.0, 9)
SETTLED = Attempt("a1", "r1", "openai/m", "settled", "ok", 100, "x1", 0.0, 0.0)
LOST = Attempt("a2", "r2", "openai/m", "ambiguous", "lost", 300, None, 0.0, 0.0)
FREE = Attempt("a3", "r3", "openai/m", "free", "server", 0, None, 0.0, 0.0)
SCOPE = Scope("org", 100, 300, 0, frozen=False)
INVOICE, ATTEMPTS = [BILLED, BILLED_UNHEARD], [SETTLED, LOST, FREE]


def test_books_that_agree() -> None:
    books = set_against(INVOICE, ATTEMPTS, [SCOPE])
    assert books.differences == []
    assert (books.certain, books.ambiguous, books.invoice) == (100, 300, 170)
    assert [(doubt.attempt_id, doubt.charged, doubt.billed) for doubt in books.doubts] == [("a2", 300, 70)]
    assert [doubt.billed for doubt in set_against([BILLED], ATTEMPTS, [SCOPE]).doubts] == [None]


@pytest.mark.parametrize(
    ("invoice", "attempts", "scope", "says"),
    [
        (INVOICE, ATTEMPTS, replace(SCOPE, settled=99), "the scope org 99 and 300"),
        (INVOICE, ATTEMPTS, replace(SCOPE, ambiguous=299), "the scope org 100 and 299"),
        (INVOICE, ATTEMPTS, replace(SCOPE, reserved=1), "and 1 reserved"),
        ([replace(BILLED, nano_usd=101), BILLED_UNHEARD], ATTEMPTS, SCOPE, "a1 of r1 is charged 100, billed was 101"),
        ([BILLED_UNHEARD], ATTEMPTS, SCOPE, "a1 of r1 is charged 100, billed was nothing"),
        ([BILLED, replace(BILLED_UNHEARD, nano_usd=301)], ATTEMPTS, SCOPE, "a2 of r2 keeps 300, billed was 301"),
        ([*INVOICE, replace(BILLED, request_id="x3")], ATTEMPTS, SCOPE, "100 was billed to r1 as x3"),
        ([*INVOICE, InvoiceLine("x4", "r3", "m", 5, 0.0, 1)], ATTEMPTS, SCOPE, "5 was billed to r3 as x4"),
        ([*INVOICE, replace(BILLED_UNHEARD, request_id="x5")], ATTEMPTS, SCOPE, "70 was billed to r2 as x5"),
    ],
)
def test_books_that_differ(invoice: list[InvoiceLine], attempts: list[Attempt], scope: Scope, says: str) -> None:
    (difference,) = set_against(invoice, attempts, [scope]).differences
    assert says in difference


def test_an_answer_without_usage_is_set_against_its_own_line() -> None:
    silent = replace(LOST, request_id="x2", outcome="ok")
    again = replace(LOST, attempt_id="a4")
    books = set_against(INVOICE, [SETTLED, again, silent], [replace(SCOPE, ambiguous=600)])
    assert books.differences == []
    assert {doubt.attempt_id: doubt.billed for doubt in books.doubts} == {"a2": 70, "a4": None}


def test_more_in_use_than_the_cap_is_seen() -> None:
    watch = CapWatch(400)
    watch.look([SCOPE])
    assert watch.breaches() == []
    for reserved in (1, 5, 3):
        watch.look([replace(SCOPE, reserved=reserved)])
    (breach,) = watch.breaches()
    assert "org was seen above its cap 3 times; at worst 405 were in use" in breach
    assert breach.endswith("400 were allowed")


def test_a_lowered_cap_lets_use_only_fall() -> None:
    watch = CapWatch(1000)
    in_use = replace(SCOPE, reserved=50)
    change = watch.changing(200, [in_use], now=10.0)
    assert change.stops_all
    watch.look([replace(SCOPE, reserved=600)])  # it does not have to bind yet
    watch.bound_by(change, [in_use])
    watch.look([in_use])
    assert watch.breaches() == []
    watch.look([replace(SCOPE, reserved=51)])
    assert len(watch.breaches()) == 1


def test_who_is_admitted_after_a_lowered_cap_had_to_bind_is_counted() -> None:
    watch = CapWatch(1000)
    change = watch.changing(200, [SCOPE], now=10.0)
    watch.changing(2000, [SCOPE], now=13.0)
    # Asked and arrived; the last one but one asked while nothing was left, and was let in when there was.
    moments = [(9.0, 9.1), (10.5, 11.2), (11.5, 11.6), (12.0, 12.9), (12.9, 13.2), (13.1, 13.3)]
    attempts = [replace(SETTLED, row=f"r{asked}", admitted_at=asked) for asked, _ in moments]
    invoice = [replace(BILLED, key=f"r{asked}", received_at=arrived) for asked, arrived in moments]
    assert change.late(attempts, invoice) == 2
    assert change.last_arrival(invoice) == pytest.approx(2.9)
