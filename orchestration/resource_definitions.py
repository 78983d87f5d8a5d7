"""From the environment to Dagster resources. Keys stay names of environment variables until a run opens them."""

from typing import Any

import dagster as dg

from orchestration.environments import Environment, placeholder
from resources.catalog_resource import CatalogResource
from resources.database_resource import DatabaseResource
from resources.llm_resource import EndpointConfig, LLMResource
from resources.metrics.dbt_project import PreparedProject
from resources.metrics_resource import MetricsResource, dbt_cli_resource
from resources.storage_io_manager import HandleIOManager
from resources.storage_resource import StorageResource

RESOURCE_FIELDS = ("state", "ledger", "endpoints", "budgets")


def build_resources(environment: Environment, metrics: PreparedProject) -> dict[str, Any]:
    """All resources by the name assets ask for them.

    Raises:
        ConfigurationError, InputError: the settings file is not usable.
    """
    return {
        "catalog": CatalogResource(folder=str(environment.catalog.resolve()), landing=environment.landing_root),
        "database": DatabaseResource(url=environment.database),
        "storage": StorageResource(root=environment.storage_root),
        "io_manager": HandleIOManager(root=environment.storage_root),
        "llm": _llm_resource(environment),
        "dbt": dbt_cli_resource(metrics),
        "metrics": MetricsResource(duckdb_path=str(environment.home.resolve() / "metrics.duckdb")),
    }


def _llm_resource(environment: Environment) -> LLMResource:
    values = environment.core_values()
    return LLMResource(
        state=values["state"],
        ledger=values["ledger"],
        endpoints={name: EndpointConfig(**_as_env_vars(part)) for name, part in values["endpoints"].items()},
        budgets={scope: str(cap) for scope, cap in values.get("budgets", {}).items()},
        guards={name: part for name, part in values.items() if name not in RESOURCE_FIELDS},
    )


def _as_env_vars(endpoint: dict[str, Any]) -> dict[str, Any]:
    return {
        name: dg.EnvVar(placeholder(value) or "") if placeholder(value) else value for name, value in endpoint.items()
    }
