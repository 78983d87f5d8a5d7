"""The resources of the task assets, from the environment. Keys stay names of variables until a run opens them."""

from typing import Any

import dagster as dg

from orchestration.environments import Environment, placeholder
from resources.catalog_resource import CatalogResource
from resources.database_resource import DatabaseResource
from resources.llm_resource import EndpointConfig, LLMResource
from resources.storage_io_manager import HandleIOManager
from resources.storage_resource import StorageResource

RESOURCE_FIELDS = ("state", "ledger", "endpoints", "budgets")


def build_task_resources(environment: Environment) -> dict[str, Any]:
    """What dataset, prompt, optimization, evaluation and promotion need, by the name they ask for it.

    Raises:
        ConfigurationError, InputError: the settings file is not usable.
    """
    return {
        "catalog": CatalogResource(folder=str(environment.catalog.resolve()), landing=environment.landing_root),
        "database": DatabaseResource(url=environment.database),
        "storage": StorageResource(root=environment.storage_root),
        "io_manager": HandleIOManager(root=environment.storage_root),
        "llm": _llm_resource(environment),
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
