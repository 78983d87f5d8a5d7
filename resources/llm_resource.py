"""Dagster resource: the execution core, the only way to a model."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from decimal import Decimal
from typing import Any

import dagster as dg
from pydantic import ConfigDict

from domain.errors import ConfigurationError
from resources.call_metadata import CallMetadata
from resources.derived_config import derived_base, derived_config, holds_secret
from resources.llm import LLMClient, SyncClient, open_client, open_client_sync
from resources.llm.endpoint_names import check_model_names
from resources.llm.settings import CoreSettings, EndpointSettings

EndpointConfig: Any = derived_config(EndpointSettings)


class _StrictResource(dg.ConfigurableResource):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)


_KNOBS: Any = derived_base("LLMKnobs", CoreSettings, _StrictResource)


class LLMResource(_KNOBS):
    """Every call of every asset goes through this core: cache, retry, breaker, limiter, budget, ledger.

    Its fields are those of `CoreSettings`, nested ones included. Keys are given as `dg.EnvVar`, so that no run's
    configuration holds one. In an asset:

        with llm.client(context) as client:
            completion = client.complete(request, CallContext(task="support_triage", scopes=("day",)))

    What the calls cost then stands in the asset's metadata.
    """

    def settings(self, budgets: Mapping[str, Decimal] | None = None) -> CoreSettings:
        """The core's settings, with further caps for this use.

        Raises:
            ConfigurationError: naming the field and the mend.
        """
        values = _plain(self, _read)
        return CoreSettings.parse({**values, "budgets": {**values["budgets"], **(budgets or {})}})

    @contextmanager
    def client(self, context: Any = None, *, budgets: Mapping[str, Decimal] | None = None) -> Iterator[SyncClient]:
        """An open core for code without an event loop; on leaving it is closed, also after a failure.

        Args:
            context: of the asset, op or sensor; an asset's or op's metadata get what the calls made here came to:
                `cost_usd`, `tokens`, `calls`, `cached_calls`, `cache_hit_rate`, `fallbacks`, `breaker_openings`.
                None records nothing. Leave the block before the asset yields its output.
            budgets: further caps in USD by scope.

        Raises:
            ConfigurationError, DatabaseUnavailableError, SchemaVersionError, StateUnavailableError: as `open_client`.
        """
        with CallMetadata(context) as metadata, open_client_sync(self.settings(budgets)) as client:
            client.subscribe(metadata.tally)
            yield client

    @asynccontextmanager
    async def aclient(
        self, context: Any = None, *, budgets: Mapping[str, Decimal] | None = None
    ) -> AsyncIterator[LLMClient]:
        """`client`, for the event loop that is running."""
        with CallMetadata(context) as metadata:
            async with open_client(self.settings(budgets)) as client:
                client.subscribe(metadata.tally)
                yield client

    def get_resource_definition(self) -> Any:
        """What Dagster keeps of this resource and shows to people.

        Raises:
            ConfigurationError: a key was given as text, or a setting is not usable, as far as that can be said without
                the environment of a run.
        """
        _require_variables(self)
        check_model_names(CoreSettings.parse(_plain(self, _leave_out)))
        return super().get_resource_definition()


def _require_variables(resource: Any) -> None:
    for name, endpoint in resource.endpoints.items():
        for field in (field for field, info in EndpointSettings.model_fields.items() if holds_secret(info)):
            value = getattr(endpoint, field)
            given = value if isinstance(value, dict) else {None: value}
            for part, text in given.items():
                if text is not None and not isinstance(text, dg.EnvVar):
                    place = ".".join(piece for piece in ("endpoints", name, field, part) if piece)
                    raise ConfigurationError(
                        "A key must not stand in a configuration that people see.",
                        field=place,
                        mend='Put it into an environment variable and write dg.EnvVar("NAME"), '
                        "or ${NAME} in the settings file.",
                    )


class _LeftOut:
    """In place of a value that only a run's environment has."""


def _plain(value: Any, variable: Callable[[dg.EnvVar, str], Any], place: str = "") -> Any:
    """Config as plain values; `variable` says what stands for an environment variable that no run has filled in yet."""
    if isinstance(value, dg.Config):
        fields = type(value).model_fields
        parts = {name: _plain(part, variable, f"{place}.{name}") for name, part in value if not name.startswith("_")}
        kept = {name: part for name, part in parts.items() if part is not _LeftOut}
        return kept | {name: "1" for name in parts.keys() - kept.keys() if fields[name].is_required()}
    if isinstance(value, dict):
        parts = {name: _plain(part, variable, f"{place}.{name}") for name, part in value.items()}
        return {name: part for name, part in parts.items() if part is not _LeftOut}
    if isinstance(value, list):
        return [_plain(part, variable, place) for part in value]
    return variable(value, place.removeprefix(".")) if isinstance(value, dg.EnvVar) else value


def _read(variable: dg.EnvVar, place: str) -> str:
    value = variable.get_value()
    if value is None:
        name = variable.env_var_name
        raise ConfigurationError(f"the environment variable {name} is not set", field=place, mend=f"export {name}=….")
    return value


def _leave_out(_variable: dg.EnvVar, _place: str) -> type[_LeftOut]:
    return _LeftOut
