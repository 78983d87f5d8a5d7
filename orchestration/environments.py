"""Settings: the only place that reads environment variables. Free of Dagster, so that the CLI starts fast."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.errors import ConfigurationError
from resources.catalog.yaml_lines import load_yaml
from resources.llm.endpoint_names import check_model_names
from resources.llm.settings import CoreSettings
from resources.storage.keeping import SHORTEST_KEEP_DAYS

PLACEHOLDER = re.compile(r"^\$\{([A-Za-z_][A-Za-z0-9_]*)\}$")
OWN_FIELDS = {"state": "PROMPTORY_STATE_URL", "ledger": "PROMPTORY_DATABASE_URL"}


class Environment(BaseSettings):
    """Where everything is. Each field is the environment variable `PROMPTORY_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="PROMPTORY_", frozen=True, extra="ignore")

    home: Path = Field(
        default=Path(".promptory"), description="Folder for databases, snapshots and the landing folder."
    )
    catalog: Path = Field(default=Path("catalog"), description="Folder that holds tasks/*.yaml.")
    config: Path = Field(
        default=Path("promptory.yaml"), description="Settings of the execution core: endpoints, budgets, limits, …"
    )
    landing: str | None = Field(default=None, description="Folder or URL for new dataset files; <home>/landing.")
    batches: str | None = Field(
        default=None, description="Folder or URL for unlabelled files to be answered; <home>/batches."
    )
    storage: str | None = Field(default=None, description="Folder or URL for Parquet; <home>/storage.")
    database_url: str | None = Field(default=None, description="SQLAlchemy URL; sqlite:///<home>/promptory.db.")
    alert_log: bool = Field(default=False, description="Write alerts to the log, as logger promptory.alerts.")
    alert_webhook_url: SecretStr | None = Field(default=None, description="URL that takes alerts as JSON.")
    alert_slack_url: SecretStr | None = Field(
        default=None, description="Incoming webhook of Slack, or of what takes the same JSON."
    )
    ui_url: str | None = Field(default=None, description="Where the Dagster UI is, for links in alerts.")
    ledger_keep_days: int | None = Field(
        default=None,
        ge=SHORTEST_KEEP_DAYS,
        description="Older days of the ledger are kept as Parquet only; unset: the database keeps everything.",
    )
    journal_keep_days: int | None = Field(
        default=None, ge=7, description="Journals of finished optimization runs are dropped after so many days."
    )
    dagster_runs_keep_days: int | None = Field(
        default=None, ge=7, description="Failed and cancelled Dagster runs are dropped after so many days."
    )
    state_url: str | None = Field(default=None, description="State of budgets and limits; sqlite:///<home>/state.db.")
    executor: Literal["in_process", "kubernetes"] = Field(
        default="in_process", description="Where the steps of a run work: in the run's process, or each in its own pod."
    )

    @classmethod
    def read(cls) -> Environment:
        """The settings of this process.

        Raises:
            ConfigurationError: a variable has a value that is not usable.
        """
        try:
            return cls()
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = "PROMPTORY_" + "_".join(str(part) for part in first["loc"]).upper()
            raise ConfigurationError(first["msg"], field=name, mend="correct the environment variable.") from error

    @property
    def landing_root(self) -> str:
        """Where new dataset files arrive."""
        return self.landing or str(self.home.resolve() / "landing")

    @property
    def batch_root(self) -> str:
        """Where unlabelled files to be answered arrive."""
        return self.batches or str(self.home.resolve() / "batches")

    @property
    def storage_root(self) -> str:
        """Where Parquet goes."""
        return self.storage or str(self.home.resolve() / "storage")

    @property
    def database(self) -> str:
        """SQLAlchemy URL of the database."""
        return self.database_url or f"sqlite:///{self.home.resolve() / 'promptory.db'}"

    @property
    def state(self) -> str:
        """URL of the state store."""
        return self.state_url or f"sqlite:///{self.home.resolve() / 'state.db'}"

    @property
    def alerts_configured(self) -> bool:
        """Whether anybody said where alerts go."""
        return self.alert_log or self.alert_webhook_url is not None or self.alert_slack_url is not None

    def url_variables(self) -> dict[str, str]:
        """By the core's fields: the environment variables that the URLs of state and ledger came from, if they did."""
        given = {"state": self.state_url, "ledger": self.database_url}
        return {
            field: variable
            for field, variable in OWN_FIELDS.items()
            if given[field] and os.environ.get(variable) == given[field]
        }

    def core_values(self) -> dict[str, Any]:
        """The execution core's settings as written, keys still as `${VARIABLE}`.

        Raises:
            ConfigurationError, InputError: the settings file is not usable.
        """
        values: dict[str, Any] = {}
        if self.config.exists():
            values, lines = load_yaml(self.config)
            for name in OWN_FIELDS:
                if name in values:
                    raise ConfigurationError(
                        "this is not set here",
                        file=str(self.config),
                        row=lines.get((name,)),
                        field=name,
                        mend=f"use the environment variable {OWN_FIELDS[name]}.",
                    )
        endpoints = values.setdefault("endpoints", {})
        if isinstance(endpoints, dict) and "openai" not in endpoints and _openai_from_environment():
            endpoints["openai"] = _openai_from_environment()
        return {**values, "state": self.state, "ledger": self.database}

    def time_zone(self) -> str:
        """The zone of days and months, for schedules; whether it is one is checked where the core is configured.

        Raises:
            ConfigurationError, InputError: the settings file is not usable.
        """
        return str(self.core_values().get("time_zone") or CoreSettings.model_fields["time_zone"].default)

    def endpoint_kinds(self) -> dict[str, str]:
        """Kind of provider by configured endpoint; needs no key.

        Raises:
            ConfigurationError, InputError: the settings file is not usable.
        """
        endpoints = self.core_values()["endpoints"]
        if not isinstance(endpoints, dict):
            return {}
        return {name: str(part.get("provider") or name) for name, part in endpoints.items() if isinstance(part, dict)}

    def core_settings(self) -> CoreSettings:
        """The execution core's settings, keys filled in from the environment.

        Raises:
            ConfigurationError: naming the file, the field and the mend.
            InputError: the settings file is not YAML.
        """
        values = _fill(self.core_values(), os.environ, str(self.config))
        try:
            settings = CoreSettings.parse(values)
            check_model_names(settings)
        except ConfigurationError as error:
            raise ConfigurationError(
                error.problem, file=str(self.config), field=error.field, mend=error.mend
            ) from error
        return settings


def dagster_home() -> Path | None:
    """The folder of the Dagster instance, where a person has set one."""
    value = os.environ.get("DAGSTER_HOME")
    return Path(value) if value else None


def placeholder(value: Any) -> str | None:
    """The variable that a `${VARIABLE}` names."""
    found = PLACEHOLDER.match(value) if isinstance(value, str) else None
    return found.group(1) if found else None


def _openai_from_environment() -> dict[str, Any]:
    names = {"api_key": "OPENAI_API_KEY", "base_url": "OPENAI_BASE_URL"}
    found = {field: f"${{{name}}}" for field, name in names.items() if os.environ.get(name)}
    if "base_url" in found:
        found["base_url"] = os.environ["OPENAI_BASE_URL"]
    return found


def _fill(value: Any, environ: Mapping[str, str], file: str, place: tuple[str, ...] = ()) -> Any:
    if isinstance(value, dict):
        return {key: _fill(part, environ, file, (*place, str(key))) for key, part in value.items()}
    if isinstance(value, list):
        return [_fill(part, environ, file, place) for part in value]
    name = placeholder(value)
    if name is None:
        return value
    if not environ.get(name):
        raise ConfigurationError(
            f"the environment variable {name} is not set", file=file, field=".".join(place), mend=f"export {name}=…."
        )
    return environ[name]
