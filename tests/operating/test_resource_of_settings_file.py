"""The resource as the code location builds it from promptory.yaml and the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.errors import ConfigurationError
from orchestration.environments import Environment
from orchestration.task_resources import build_task_resources

SECRET = "sk-very-secret-77120"
SETTINGS = """\
endpoints:
  gateway:
    provider: openai
    base_url: https://host/v1
    api_key: ${GATEWAY_KEY}
    headers: {x-team: "${GATEWAY_KEY}"}
budgets: {day: 5.00, "task:x": "0.25"}
limits: {gateway/small: {requests_per_minute: 500}}
prices: {gateway/small: {input_per_million: 0.15, output_per_million: 1}}
cache: {ttl_s: 60}
"""


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    monkeypatch.setenv("GATEWAY_KEY", SECRET)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setenv("PROMPTORY_DATABASE_URL", f"postgresql+psycopg://me:{SECRET}@host/db")
    (tmp_path / "promptory.yaml").write_text(SETTINGS, encoding="utf-8")
    return Environment(home=tmp_path, catalog=tmp_path, config=tmp_path / "promptory.yaml")


def test_resource_and_command_line_have_the_same_settings(environment):
    made = build_task_resources(environment)["llm"]

    assert made.settings() == environment.core_settings()


def test_no_secret_is_in_what_people_see(environment):
    resources = build_task_resources(environment)

    for name in ("llm", "database"):
        shown = str(resources[name].get_resource_definition().config_schema.default_value) + repr(resources[name])
        assert SECRET not in shown
    assert "PROMPTORY_DATABASE_URL" in str(resources["database"].get_resource_definition().config_schema.default_value)


def test_a_mistake_in_the_file_names_file_and_field(environment):
    environment.config.write_text("retry: {max_attempts: 9}\n", encoding="utf-8")

    with pytest.raises(ConfigurationError) as caught:
        build_task_resources(environment)

    assert caught.value.file == str(environment.config)
    assert caught.value.field == "retry.max_attempts"


def test_a_key_written_into_the_file_is_refused_with_the_way_out(environment):
    environment.config.write_text(SETTINGS.replace("${GATEWAY_KEY}", SECRET), encoding="utf-8")

    with pytest.raises(ConfigurationError) as caught:
        build_task_resources(environment)

    assert (caught.value.file, caught.value.field) == (str(environment.config), "endpoints.gateway.api_key")
    assert "${NAME}" in str(caught.value)
    assert SECRET not in str(caught.value)
