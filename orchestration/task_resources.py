"""The resources of the task assets, from the environment. Keys stay names of variables until a run opens them."""

from typing import Any

import dagster as dg
from pydantic import ValidationError

from domain.errors import ConfigurationError
from orchestration.environments import Environment, placeholder
from resources.alerts_resource import AlertsResource
from resources.catalog_resource import CatalogResource
from resources.database_resource import DatabaseResource
from resources.llm.settings import CoreSettings
from resources.llm.settings_errors import as_configuration_error
from resources.llm_resource import LLMResource
from resources.storage_io_manager import HandleIOManager
from resources.storage_resource import StorageResource


def build_task_resources(environment: Environment) -> dict[str, Any]:
    """What dataset, prompt, optimization, evaluation and promotion need, by the name they ask for it.

    Raises:
        ConfigurationError, InputError: the settings file is not usable.
    """
    return {
        "catalog": CatalogResource(
            folder=str(environment.catalog.resolve()),
            landing=environment.landing_root,
            batches=environment.batch_root,
            endpoints=environment.endpoint_kinds(),
        ),
        "database": DatabaseResource(url=_database_url(environment)),
        "storage": StorageResource(root=environment.storage_root),
        "io_manager": HandleIOManager(root=environment.storage_root),
        "llm": _llm_resource(environment),
        "alerts": _alerts_resource(environment),
    }


def _alerts_resource(environment: Environment) -> AlertsResource:
    """Hooks' URLs are keys: people see the names of the variables."""
    webhook, slack = environment.alert_webhook_url, environment.alert_slack_url
    return AlertsResource(
        log=environment.alert_log,
        webhook_url=dg.EnvVar("PROMPTORY_ALERT_WEBHOOK_URL") if webhook else None,
        slack_url=dg.EnvVar("PROMPTORY_ALERT_SLACK_URL") if slack else None,
        ui_url=environment.ui_url,
    )


def _llm_resource(environment: Environment) -> LLMResource:
    values = {**environment.core_values(), **_url_placeholders(environment)}
    try:
        resource = LLMResource(**_with_env_vars(values))
        resource.get_resource_definition()  # here the error for a key in the file can name the file
    except (ValidationError, ConfigurationError) as error:
        known = as_configuration_error(error, CoreSettings) if isinstance(error, ValidationError) else error
        file = str(environment.config)
        raise ConfigurationError(known.problem, file=file, field=known.field, mend=known.mend) from None
    return resource


def _database_url(environment: Environment) -> str:
    return _with_env_vars(_url_placeholders(environment).get("ledger", environment.database))


def _url_placeholders(environment: Environment) -> dict[str, str]:
    """URLs may hold passwords: people see the names of the variables they came from."""
    return {field: f"${{{variable}}}" for field, variable in environment.url_variables().items()}


def _with_env_vars(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_env_vars(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_with_env_vars(part) for part in value]
    name = placeholder(value)
    return value if name is None else dg.EnvVar(name)
