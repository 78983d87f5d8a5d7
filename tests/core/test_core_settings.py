from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import ConfigurationError, InputError
from resources.llm import CoreSettings
from resources.llm.scopes import cap_name, check_scope_name, expand_scopes

SECRET = "sk-very-secret-93417"


def test_every_part_accepts_a_plain_dict() -> None:
    settings = CoreSettings(
        state="memory",
        ledger="sqlite:///promptory.db",
        endpoints={"openai": {"base_url": "https://host/v1", "api_key": SECRET}},  # pyright: ignore
        budgets={"day": Decimal("5.00"), "task:support_triage": Decimal("1.00")},
        limits={"openai/gpt-4o-mini": {"requests_per_minute": 500, "tokens_per_minute": 200_000}},  # pyright: ignore
        cache={"enabled": True, "ttl_s": 300, "max_entries": 10_000},  # pyright: ignore
        prices={"openai/gpt-4o-mini": {"input_per_million": Decimal("0.15"), "output_per_million": Decimal("0.60")}},  # pyright: ignore
    )
    config = settings.store_config()
    assert config.caps_nano_usd == {"day": 5_000_000_000, "task:support_triage": 1_000_000_000}
    assert config.limits["openai/gpt-4o-mini"].requests_per_minute == 500
    assert settings.endpoints["openai"].api_key.get_secret_value() == SECRET  # pyright: ignore
    assert SECRET not in repr(settings) + str(settings) + settings.model_dump_json()


@pytest.mark.parametrize(
    ("values", "field", "says"),
    [
        ({"budgets": {"day": -1}}, "budgets.day", "0 or more"),
        ({"budgets": {"day": "NaN"}}, "budgets.day", "finite"),
        ({"budgets": {"day": "9300000000"}}, "budgets.day", "at most 9,000,000,000"),
        ({"budgets": {"Day": 1}}, "budgets.Day", "not a scope name"),
        ({"budgets": {"task": 1}}, "budgets.task", "task:<name>"),
        ({"budget": {"day": 1}}, "budget", "budgets"),
        ({"cache": {"ttl": 3}}, "cache.ttl", "ttl_s"),
        ({"endpoints": {"openai": {"api_kee": SECRET}}}, "endpoints.openai.api_kee", "api_key"),
        ({"endpoints": {"openai": {"api_key": [SECRET]}}}, "endpoints.openai.api_key", "string"),
        (
            {"endpoints": {"openai": {"base_url": f"https://me:{SECRET}@host/v1"}}},
            "endpoints.openai.base_url",
            "api_key",
        ),
        ({"endpoints": {"openai": {"base_url": "host/v1"}}}, "endpoints.openai.base_url", "http"),
        ({"limits": {"m": {"requests_per_minute": 0}}}, "limits.m.requests_per_minute", "greater than 0"),
        ({"prices": {"m": {"input_per_million": 1}}}, "prices.m.output_per_million", "required"),
        ({"retry": {"max_attempts": 4}}, "retry.max_attempts", "less than or equal to 3"),
        ({"fallback": {"models": {"a/b": ["a/b"]}}}, "fallback.models.a/b", "other models"),
        ({"time_zone": "Europe/Berlni"}, "time_zone", "write one like UTC or Europe/Berlin"),
        ({"lease_s": 0.2}, "lease_s", "renewed three times"),
        ({"endpoints": {"v llm": {}}}, "endpoints.v llm", "lower-case"),
        ({"endpoints": {"vllm": None}}, "endpoints.vllm", "must be a mapping"),
        ({"endpoints": {"openai": {"base_url": "http://[bad"}}}, "endpoints.openai.base_url", "no URL"),
        (
            {"prices": {"m/n": {"input_per_million": 1, "output_per_million": 1, "cached": 1}}},
            "prices.m/n.cached",
            "known",
        ),
    ],
)
def test_a_bad_setting_is_one_clear_error(values: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        CoreSettings.parse(values)
    assert caught.value.field == field
    assert says in str(caught.value)
    assert caught.value.mend
    assert SECRET not in str(caught.value) + repr(caught.value.__cause__)


def test_urls_with_passwords_are_not_shown() -> None:
    settings = CoreSettings.parse({"state": f"redis://:{SECRET}@h/0", "ledger": f"postgresql://u:{SECRET}@h/d"})
    assert SECRET not in repr(settings)


def test_scopes_become_the_windows_of_the_clock() -> None:
    before_midnight = 1_795_305_599.0
    names = ("day", "month", "org", "task:x", "day")
    assert expand_scopes(names, before_midnight) == ("day:2026-11-21", "month:2026-11", "org", "task:x")
    assert expand_scopes(names, before_midnight + 1)[0] == "day:2026-11-22"
    assert [cap_name(window) for window in expand_scopes(names, 0)] == ["day", "month", "org", "task:x"]


@pytest.mark.parametrize("name", ["day:2026-11-22", "org:acme", "run", "run:", "Task:x", "a b", "", "task:a b", ":x"])
def test_doubtful_scope_names_are_refused(name: str) -> None:
    with pytest.raises(InputError):
        expand_scopes((name,), 0)


@given(st.text(min_size=1, max_size=20).filter(lambda text: not any(c.isspace() or c == ":" for c in text)))
def test_any_task_name_without_spaces_makes_a_scope(name: str) -> None:
    assert check_scope_name(f"task:{name}") == f"task:{name}"
