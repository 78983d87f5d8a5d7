"""All resources by the name assets ask for them."""

from typing import Any

from orchestration.environments import Environment
from orchestration.task_resources import build_task_resources
from resources.metrics.dbt_project import PreparedProject
from resources.metrics_resource import MetricsResource, dbt_cli_resource


def build_resources(environment: Environment, metrics: PreparedProject) -> dict[str, Any]:
    """The task assets' resources, and dbt's over the prepared project.

    Raises:
        ConfigurationError, InputError: the settings file is not usable.
    """
    return {
        **build_task_resources(environment),
        "dbt": dbt_cli_resource(metrics),
        "metrics": metrics_resource(environment),
    }


def metrics_resource(environment: Environment) -> MetricsResource:
    """The marts of the home folder."""
    return MetricsResource(duckdb_path=str(environment.home.resolve() / "metrics.duckdb"))
