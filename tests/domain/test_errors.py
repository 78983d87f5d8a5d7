from __future__ import annotations

import pytest

from domain import errors
from domain.errors import FAULT_RULES, FaultClass, InputError, PromptoryError, ProviderError, UnansweredError


def test_message_names_place_problem_and_mend() -> None:
    error = InputError("the label is unknown.", file="rows.csv", row=7, field="label", mend="use one of: a, b.")
    assert str(error) == "rows.csv:7 [label]: the label is unknown. Mend: use one of: a, b."


@pytest.mark.parametrize(
    ("place", "text"),
    [
        ({}, "broken"),
        ({"file": "a.yaml"}, "a.yaml: broken"),
        ({"row": 3}, "3: broken"),
        ({"field": "x.y"}, "[x.y]: broken"),
        ({"mend": "mend it."}, "broken. Mend: mend it."),
    ],
)
def test_message_leaves_out_what_is_not_known(place: dict[str, object], text: str) -> None:
    assert str(PromptoryError("broken", **place)) == text  # pyright: ignore[reportArgumentType]


def test_parts_for_machines() -> None:
    assert InputError("broken", file="a", row=1, field="f", mend="m").as_dict() == {
        "error": "InputError",
        "problem": "broken",
        "file": "a",
        "row": 1,
        "field": "f",
        "mend": "m",
    }


def test_every_error_is_a_promptory_error() -> None:
    classes = [item for item in vars(errors).values() if isinstance(item, type) and issubclass(item, Exception)]
    assert len(classes) > 10
    assert all(issubclass(item, PromptoryError) for item in classes)


def test_every_fault_class_has_a_rule() -> None:
    assert set(FAULT_RULES) == set(FaultClass)


def test_a_fault_that_may_have_been_billed_is_never_forgotten() -> None:
    unknown = {fault for fault, rule in FAULT_RULES.items() if rule.outcome_unknown}
    assert unknown == {FaultClass.TIMEOUT, FaultClass.CONNECTION, FaultClass.MALFORMED}


def test_the_callers_own_mistakes_are_neither_retried_nor_held_against_the_provider() -> None:
    for fault in (FaultClass.AUTHENTICATION, FaultClass.INVALID_REQUEST, FaultClass.REFUSED):
        assert not FAULT_RULES[fault].retryable
        assert not FAULT_RULES[fault].counts_for_breaker


def test_only_rate_limiting_pauses_the_limiter() -> None:
    assert [fault for fault, rule in FAULT_RULES.items() if rule.pauses_limiter] == [FaultClass.RATE_LIMITED]


def test_provider_error_carries_its_rule() -> None:
    error = ProviderError("slow down", fault=FaultClass.RATE_LIMITED, status_code=429, retry_after_s=2.5)
    assert error.rule is FAULT_RULES[FaultClass.RATE_LIMITED]
    assert (error.status_code, error.retry_after_s, error.never_sent) == (429, 2.5, False)


def test_unanswered_error_carries_its_reason() -> None:
    assert UnansweredError("no answer", reason="circuit_open").reason == "circuit_open"


@pytest.mark.parametrize("fault", list(FaultClass))
def test_the_endpoint_is_named_where_its_settings_may_be_to_blame(fault: FaultClass) -> None:
    error = ProviderError("refused", fault=fault)
    error.name_endpoint("vllm")
    blamed = fault in (FaultClass.AUTHENTICATION, FaultClass.CONNECTION)
    assert str(error) == ("[endpoints.vllm]: refused" if blamed else "refused")
