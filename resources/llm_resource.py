"""Dagster resource: the execution core, the only way to a model."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import dagster as dg
from pydantic import Field

from resources.llm.settings import CoreSettings


class EndpointConfig(dg.PermissiveConfig):
    """Where one provider is reached; any further field of the core's endpoint settings may stand here too."""

    base_url: str | None = Field(default=None, description="Root URL, e.g. https://host/v1; the vendor's by default.")
    api_key: str | None = Field(default=None, description="Give it as an environment variable, never as text.")


class LLMResource(dg.ConfigurableResource):
    """Every call of every asset goes through this core: cache, retry, breaker, limiter, budget, ledger."""

    state: str = Field(description="Shared state of guards and cache: memory, sqlite:///file or redis://host.")
    ledger: str = Field(description="SQLAlchemy URL of the database that holds the ledger.")
    endpoints: dict[str, EndpointConfig] = Field(default_factory=dict, description="By provider name.")
    budgets: dict[str, str] = Field(
        default_factory=dict, description="USD caps by scope: org, day, month, task:<name>."
    )
    guards: dict[str, Any] = Field(
        default_factory=dict,
        description="Further settings of the core: limits, cache, prices, retry, breaker, fallback, deadlines.",
    )

    def settings(self, budgets: Mapping[str, Decimal] | None = None) -> CoreSettings:
        """The core's settings, with further caps for this use.

        Raises:
            ConfigurationError: naming the field and the mend.
        """
        caps: dict[str, Any] = {**self.budgets, **(budgets or {})}
        endpoints = {name: _given(endpoint.model_dump()) for name, endpoint in self.endpoints.items()}
        values = {"state": self.state, "ledger": self.ledger, "endpoints": endpoints, "budgets": caps}
        return CoreSettings.parse({**self.guards, **values})


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
