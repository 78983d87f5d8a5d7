"""One module per way to reach models; each loads only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError

if TYPE_CHECKING:
    from resources.llm.settings import EndpointSettings
    from resources.llm.types import Provider


def create_provider(name: str, settings: EndpointSettings | None) -> Provider:
    """The provider that answers models named `<name>/…`; opens nothing yet.

    Raises:
        ConfigurationError: no provider has this name, or it needs settings that are missing or unusable.
    """
    build = _PROVIDERS.get(name)
    if build is None:
        raise ConfigurationError(
            f"there is no provider {name!r}",
            field=f"endpoints.{name}",
            mend=f"use one of: {', '.join(sorted(_PROVIDERS))}; the provider is the part of a model before the `/`.",
        )
    return build(settings)


def _openai(settings: EndpointSettings | None) -> Provider:
    from resources.llm.providers.openai import OpenAIProvider

    if settings is None:
        raise ConfigurationError(
            "models named openai/… need an endpoint",
            field="endpoints.openai",
            mend="set api_key, and base_url for another OpenAI-compatible endpoint than the vendor's.",
        )
    return OpenAIProvider(settings)


def _embeddings(settings: EndpointSettings | None) -> Provider:
    from resources.llm.providers.embeddings import EmbeddingsProvider

    if settings is None:
        raise ConfigurationError(
            "models named embeddings/… need an endpoint",
            field="endpoints.embeddings",
            mend="set api_key, and base_url for another OpenAI-compatible endpoint than the vendor's.",
        )
    return EmbeddingsProvider(settings)


def _offline(settings: EndpointSettings | None) -> Provider:
    from resources.llm.providers.offline import OfflineProvider

    if settings is not None and (settings.base_url or settings.api_key):
        raise ConfigurationError(
            "offline/nearest runs inside this process: it has no base_url and no api_key",
            field="endpoints.offline",
            mend="remove them.",
        )
    return OfflineProvider()


def _huggingface(settings: EndpointSettings | None) -> Provider:
    from resources.llm.providers.huggingface import HuggingFaceProvider

    return HuggingFaceProvider(settings)


def _litellm(settings: EndpointSettings | None) -> Provider:
    from resources.llm.providers.litellm import LiteLLMProvider

    return LiteLLMProvider(settings)


def _vertex(settings: EndpointSettings | None) -> Provider:
    from resources.llm.providers.vertex import VertexProvider

    return VertexProvider(settings)


_PROVIDERS: dict[str, Callable[[EndpointSettings | None], Provider]] = {
    "embeddings": _embeddings,
    "huggingface": _huggingface,
    "litellm": _litellm,
    "offline": _offline,
    "openai": _openai,
    "vertex": _vertex,
}

KNOWN_PROVIDERS = frozenset(_PROVIDERS)
WITH_BATCH_API = frozenset({"openai", "vertex"})
"""Known without loading them: those whose batch API rows can be handed to."""
