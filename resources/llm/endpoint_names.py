"""The part of a model's name before the first slash: which there are, and what kind of provider each one is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from domain.errors import ConfigurationError
from domain.evaluators.embedding_spec import EMBEDDINGS
from resources.llm.providers import KNOWN_PROVIDERS

if TYPE_CHECKING:
    from resources.llm.settings import CoreSettings, EndpointSettings

Kinds = Mapping[str, str]


def kinds_of(endpoints: Mapping[str, EndpointSettings]) -> Kinds:
    """Kind of provider by endpoint name; every kind is also an endpoint of its own name."""
    return all_kinds({name: settings.provider or name for name, settings in endpoints.items()})


def all_kinds(configured: Kinds) -> Kinds:
    """The configured endpoints and those that need no settings."""
    return {**{kind: kind for kind in KNOWN_PROVIDERS}, **configured}


def known_names(names: Iterable[str]) -> str:
    """`offline/…, openai/…`, for errors."""
    return ", ".join(f"{name}/…" for name in sorted(names))


def at_vendors_own(endpoints: Mapping[str, EndpointSettings]) -> Kinds:
    """The endpoints with names of their own that reach the vendor itself, so that the vendor's prices hold there."""
    return {
        name: settings.provider
        for name, settings in endpoints.items()
        if settings.provider is not None and settings.base_url is None
    }


def check_model_names(settings: CoreSettings, given: Iterable[str] = ()) -> None:
    """Return only if every model that the settings name is one that some endpoint could reach.

    A misspelt model under `limits` or `fallback` would otherwise be a limit that holds nothing back.

    Args:
        given: further endpoints, which a program hands to the client.

    Raises:
        ConfigurationError: names the field and the endpoints there are.
    """
    kinds = kinds_of(settings.endpoints)
    known = {*kinds, *given}
    for name in settings.endpoints:
        if kinds[name] not in KNOWN_PROVIDERS and name not in given:
            raise ConfigurationError(
                f"there is no provider {kinds[name]!r}",
                field=f"endpoints.{name}.provider",
                mend=f"set provider to one of: {', '.join(sorted(KNOWN_PROVIDERS))}.",
            )
    for field, model in _named_models(settings):
        name, _, rest = model.partition("/")
        if name not in known or not rest:
            raise ConfigurationError(
                f"{model!r} names no known endpoint" if rest else f"{model!r} does not name an endpoint and a model",
                field=field,
                mend=f"write it as one of {known_names(known)}, or add its endpoint to `endpoints`.",
            )
        if field.startswith("fallback.") and kinds.get(name) == EMBEDDINGS:
            raise ConfigurationError(
                f"nothing can stand in for {model}, nor it for another: vectors of two models cannot be compared",
                field=field,
                mend="remove it; an evaluation that got no vector goes on where it was when run again.",
            )


def _named_models(settings: CoreSettings) -> Iterable[tuple[str, str]]:
    for part in ("limits", "prices"):
        yield from ((f"{part}.{model}", model) for model in getattr(settings, part))
    for model, others in settings.fallback.models.items():
        yield from ((f"fallback.models.{model}", one) for one in (model, *others))
