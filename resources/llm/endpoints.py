"""From a model's name to the provider that reaches it; providers are made when first needed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domain.errors import ConfigurationError, InputError, ProviderError
from resources.llm.batch_api import BatchApi, HasBatchApi, no_batch_api
from resources.llm.endpoint_address import address_of
from resources.llm.endpoint_names import kinds_of, known_names
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
        self._kinds = kinds_of(settings)
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

    def batch_api(self, model: str) -> BatchApi:
        """The batch API of the provider that has `model`.

        Raises:
            InputError: the name is not `provider/name`.
            ConfigurationError: it has none, or its settings are not usable.
        """
        provider = self.of(model).provider
        if isinstance(provider, HasBatchApi):
            return provider.batch_api()
        raise no_batch_api(model)

    def address(self, model: str) -> str:
        """Where `model` is reached and how it is set to answer: part of a cached answer's identity."""
        name = model.partition("/")[0]
        address = self._addresses.get(name)
        if address is None:
            address = self._addresses[name] = address_of(name, self._settings.get(name) or EndpointSettings())
        return address

    async def check(self) -> None:
        """Reach every configured endpoint without generating anything.

        Raises:
            ProviderError: the first one that cannot be reached or refuses its key.
        """
        for name in self.names():
            await self.check_one(name)

    def make_all(self) -> None:
        """Make the providers of all configured endpoints, which opens nothing yet.

        Raises:
            ConfigurationError: the settings of one are not usable; better now than at its first call.
        """
        for name in self._settings:
            self._endpoint(name)

    def names(self) -> list[str]:
        """The configured endpoints."""
        return sorted({*self._settings, *self._given})

    async def check_one(self, name: str) -> None:
        """`check` for one endpoint."""
        try:
            await self._endpoint(name).provider.check()
        except ProviderError as error:
            error.name_endpoint(name)
            raise

    async def close(self) -> None:
        """Close the providers made here and those that were given."""
        for endpoint in self._made.values():
            await endpoint.provider.close()
        self._made.clear()

    def _endpoint(self, name: str) -> Endpoint:
        return self._made.get(name) or self._make(name)

    def _make(self, name: str) -> Endpoint:
        settings = self._settings.get(name)
        provider = self._given.get(name) or self._create(name, settings)
        watched = not getattr(provider, "keeps_time", False)
        endpoint = Endpoint(provider, (settings or EndpointSettings()).timeout_s, watched)
        self._made[name] = endpoint
        return endpoint

    def _create(self, name: str, settings: EndpointSettings | None) -> Provider:
        kind = self._kinds.get(name)
        if kind is None:
            raise ConfigurationError(
                f"there is no endpoint {name!r}",
                field=f"endpoints.{name}",
                mend=f"add it, or ask one of {known_names({*self._kinds, *self._given})}.",
            )
        try:
            return create_provider(kind, settings)
        except ConfigurationError as error:
            raise ConfigurationError(
                error.problem, file=error.file, field=_field_of(name, kind, error.field), mend=error.mend
            ) from None


def _field_of(name: str, kind: str, field: str | None) -> str:
    """The field as the settings have it: a provider knows its kind, not the endpoint's name."""
    inside = (field or "").removeprefix("endpoints").removeprefix(f".{kind}").removeprefix(".")
    return ".".join(part for part in ("endpoints", name, inside) if part)
