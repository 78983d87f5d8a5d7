from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import SecretStr

from domain.errors import ConfigurationError
from resources.llm.providers import create_provider
from resources.llm.settings import EndpointSettings
from resources.llm.types import Provider


@pytest.mark.parametrize(
    ("name", "settings"), [("openai", EndpointSettings()), ("offline", None), ("offline", EndpointSettings())]
)
def test_known_names_make_providers(name: str, settings: EndpointSettings | None) -> None:
    assert isinstance(create_provider(name, settings), Provider)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ConfigurationError) as caught:
        create_provider("opanai", None)
    assert caught.value.field == "endpoints.opanai"
    assert "openai" in str(caught.value)
    assert "offline" in str(caught.value)


def test_openai_without_an_endpoint_says_what_to_set() -> None:
    with pytest.raises(ConfigurationError) as caught:
        create_provider("openai", None)
    assert caught.value.field == "endpoints.openai"


@pytest.mark.parametrize(
    "settings", [EndpointSettings(base_url="http://127.0.0.1:1/v1"), EndpointSettings(api_key=SecretStr("k"))]
)
def test_offline_takes_no_endpoint(settings: EndpointSettings) -> None:
    with pytest.raises(ConfigurationError, match="inside this process"):
        create_provider("offline", settings)


def test_providers_load_only_when_asked_for() -> None:
    seen = "import sys, resources.llm.providers; sys.exit('aiohttp' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", seen], check=False).returncode == 0
