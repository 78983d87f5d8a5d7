from __future__ import annotations

import ast
import subprocess
import sys
from importlib.util import find_spec

import pytest
from pydantic import SecretStr

from domain.errors import ConfigurationError
from resources.llm.endpoints import Endpoints
from resources.llm.providers import create_provider
from resources.llm.settings import EndpointSettings
from resources.llm.types import Provider


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("openai", EndpointSettings()),
        ("offline", None),
        ("offline", EndpointSettings()),
        ("vertex", EndpointSettings(location="europe-west4")),
        ("litellm", None),
        ("litellm", EndpointSettings(api_key=SecretStr("k"))),
    ],
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


HEAVY = [
    "aiohttp",
    "numpy",
    "torch",
    "transformers",
    "litellm",
    "openai",
    "grpc",
    "google.auth",
    "google.cloud.aiplatform_v1",
]


def loaded_after(statements: str) -> list[str]:
    show = f"{statements}\nimport sys; print([name for name in {HEAVY} if name in sys.modules])"
    return ast.literal_eval(
        subprocess.run([sys.executable, "-c", show], check=True, capture_output=True).stdout.decode()
    )


def test_providers_load_only_when_asked_for() -> None:
    assert loaded_after("import resources.llm.providers, resources.catalog.task_file") == []


@pytest.mark.parametrize("name", ["huggingface", "litellm", "vertex"])
def test_their_libraries_load_only_when_they_are_called(name: str) -> None:
    if name == "huggingface" and find_spec("torch") is None:
        pytest.skip("torch is not installed")
    made = "from resources.llm.providers import create_provider; from resources.llm.settings import EndpointSettings"
    settings = "EndpointSettings(location='l')" if name == "vertex" else "None"
    assert loaded_after(f"{made}\ncreate_provider({name!r}, {settings})") == []


async def test_an_endpoints_own_name_stands_in_its_errors() -> None:
    endpoints = {
        "gateway": EndpointSettings(provider="openai", api_key=SecretStr("two\nlines")),
        "gemini": EndpointSettings(provider="vertex"),
        "vllm": EndpointSettings(provider="openai", options={"stram": True}),
    }
    fields = {"gateway": "api_key", "gemini": "location", "vllm": "options.stram"}
    for name, field in fields.items():
        with pytest.raises(ConfigurationError) as caught:
            Endpoints(endpoints, None).of(f"{name}/any")
        assert caught.value.field == f"endpoints.{name}.{field}"
    with pytest.raises(ConfigurationError, match=r"no endpoint 'vlm'.*gateway/…, gemini/…") as caught:
        Endpoints(endpoints, None).of("vlm/any")
    assert caught.value.field == "endpoints.vlm"
