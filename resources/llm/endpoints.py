"""From a model's name to the provider that reaches it; providers are made when first needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import InputError
from resources.llm.providers import create_provider
from resources.llm.settings import EndpointSettings
from resources.llm.types import Provider


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A provider with what the core itself needs of its settings. `watched`: cut it off when it does not keep time."""

    provider: Provider
    timeout_s: float
    watched: bool = True


class Endpoints:
    """Providers by the part of a model's name before the first slash."""

    def __init__(self, settings: Mapping[str, EndpointSettings], providers: Mapping[str, Provider] | None) -> None:
        self._settings = settings
        self._given = dict(providers or {})
        self._made: dict[str, Endpoint] = {}
        self._addresses: dict[str, str] = {}

    def of(self, model: str) -> Endpoint:
        """The endpoint of `model`.

        Raises:
            InputError: the name is not `provider/name`.
            ConfigurationError: there is no such provider, or its settings are not usable.
        """
        name, slash, rest = model.partition("/")
        endpoint = self._made.get(name)
        if endpoint is not None and rest:
            return endpoint
        if not slash or not rest:
            raise InputError(
                f"{model!r} does not name a provider.",
                field="model",
                mend="Write provider/name, e.g. openai/gpt-4o-mini.",
            )
        return self._make(name)

    def address(self, model: str) -> str:
        """Where `model` is reached, as far as the settings say: part of a cached answer's identity."""
        name = model.partition("/")[0]
        address = self._addresses.get(name)
        if address is None:
            settings = self._settings.get(name) or EndpointSettings()
            parts = (settings.base_url, settings.project, settings.location)
            address = self._addresses[name] = "|".join(part or "" for part in parts)
        return address

    async def check(self) -> None:
        """Reach every configured endpoint without generating anything.

        Raises:
            ProviderError: the first one that cannot be reached or refuses its key.
        """
        for name in self.names():
            await self.check_one(name)

    def names(self) -> list[str]:
        """The configured endpoints."""
        return sorted({*self._settings, *self._given})

    async def check_one(self, name: str) -> None:
        """`check` for one endpoint."""
        await self._endpoint(name).provider.check()

    async def close(self) -> None:
        """Close the providers made here and those that were given."""
        for endpoint in self._made.values():
            await endpoint.provider.close()
        self._made.clear()

    def _endpoint(self, name: str) -> Endpoint:
        return self._made.get(name) or self._make(name)

    def _make(self, name: str) -> Endpoint:
        settings = self._settings.get(name)
        kind = settings.provider if settings and settings.provider else name
        provider = self._given.get(name) or create_provider(kind, settings)
        watched = not getattr(provider, "keeps_time", False)
        endpoint = Endpoint(provider, (settings or EndpointSettings()).timeout_s, watched)
        self._made[name] = endpoint
        return endpoint
