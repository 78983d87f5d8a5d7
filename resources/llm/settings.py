"""The execution core's settings: every field described, bounded and safe by default."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, JsonValue, SecretStr, ValidationError, field_validator

from domain.pricing import ModelPrice, usd_to_nano
from domain.prompt import ENDPOINT_NAME
from resources.llm.scopes import check_cap, check_scope_name, check_time_zone
from resources.llm.settings_errors import as_configuration_error, checked, wrong_setting
from resources.llm.state.protocol import BreakerPolicy, ModelLimits, StoreConfig

# Keys sit inside these models: pydantic must not quote the input when it refuses one.
_STRICT = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class EndpointSettings(BaseModel):
    """Where one provider is reached, and with what key."""

    model_config = _STRICT

    provider: str | None = Field(
        default=None, description="Kind of provider (`openai`, `vertex`, …); None takes the endpoint's own name."
    )
    base_url: str | None = Field(
        default=None, description="Root URL, e.g. `https://api.openai.com/v1`; None: the vendor's."
    )
    api_key: SecretStr | None = Field(default=None, description="Sent as the provider asks for it; never shown.")
    timeout_s: float = Field(default=60.0, gt=0, le=3600, description="Longest one attempt may take, in seconds.")
    headers: dict[str, SecretStr] = Field(default_factory=dict, description="Further HTTP headers; never shown.")
    project: str | None = Field(default=None, description="Cloud project, for providers that bill to one.")
    location: str | None = Field(default=None, description="Cloud region, for providers that have them.")
    max_connections: int = Field(default=256, ge=1, le=10_000, description="Concurrent connections to the endpoint.")
    options: dict[str, JsonValue] = Field(
        default_factory=dict, description="Settings only one kind of provider knows, e.g. `device` of `huggingface`."
    )

    @field_validator("base_url")
    @classmethod
    def _no_credentials_in_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        try:
            parts = urlsplit(url)
        except ValueError:
            raise wrong_setting("", "this is no URL", "write one like https://api.openai.com/v1.") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise wrong_setting("", "this is no http:// or https:// URL", "write one like https://api.openai.com/v1.")
        if parts.username or parts.password:
            raise wrong_setting("", "the URL must not hold a user or password", "use api_key or headers.")
        return url.rstrip("/")


class LimitSettings(BaseModel):
    """What a model deployment takes in any 60 seconds."""

    model_config = _STRICT

    requests_per_minute: int | None = Field(
        default=None, gt=0, description="Requests in any 60 seconds; None: unlimited."
    )
    tokens_per_minute: int | None = Field(
        default=None, gt=0, description="Input plus output tokens in any 60 seconds; None: unlimited."
    )


class CacheSettings(BaseModel):
    """The exact cache of answers."""

    model_config = _STRICT

    enabled: bool = Field(default=True, description="False: every call reaches a provider.")
    ttl_s: float = Field(default=300.0, gt=0, description="Seconds an answer stays usable.")
    max_entries: int = Field(default=10_000, ge=1, description="Least recently used answers go first beyond this.")
    namespace: str = Field(
        default="",
        pattern=r"^[A-Za-z0-9_.-]{0,64}$",
        description="Answers are shared only within a namespace, and can be dropped without the others'; letters, "
        "digits, `_`, `.` and `-`.",
    )


class RetrySettings(BaseModel):
    """Attempts at one model inside one deadline."""

    model_config = _STRICT

    max_attempts: int = Field(default=3, ge=1, le=3, description="First try included.")
    first_backoff_s: float = Field(
        default=0.5, gt=0, le=60, description="Ceiling of the first, jittered wait; it doubles."
    )
    max_backoff_s: float = Field(default=8.0, gt=0, le=600, description="Ceiling of any wait between attempts.")


class BreakerSettings(BaseModel):
    """When a model's circuit breaker opens and closes."""

    model_config = _STRICT

    consecutive_faults: int = Field(default=5, ge=1, description="Provider faults in a row that open it.")
    open_s: float = Field(default=60.0, gt=0, description="Seconds it stays open before it lets one probe through.")
    successes_to_close: int = Field(default=3, ge=1, description="Successful probes that close it.")
    error_rate: float | None = Field(
        default=None, gt=0, le=1, description="Share of faults in the window that opens it."
    )
    error_rate_window_s: float = Field(default=60.0, gt=0, description="Length of that window, in seconds.")
    error_rate_min_calls: int = Field(default=20, ge=1, description="Attempts in the window before the rate counts.")


class FallbackSettings(BaseModel):
    """What answers when the asked model does not."""

    model_config = _STRICT

    models: dict[str, list[str]] = Field(default_factory=dict, description="Per model: others to try, in order.")
    canned: dict[str, str] = Field(default_factory=dict, description="Per prompt family: the text given last.")


class CoreSettings(BaseModel):
    """All settings of the execution core; every part also accepts a plain dict."""

    model_config = _STRICT

    state: str = Field(
        default="sqlite:///state.db",
        repr=False,
        description="`memory`, `sqlite:///file`, or `redis://host:port/db` (`rediss://` for TLS).",
    )
    ledger: str = Field(
        default="sqlite:///promptory.db", repr=False, description="SQLAlchemy URL of the ledger's database."
    )
    endpoints: dict[str, EndpointSettings] = Field(
        default_factory=dict, description="By name: the part of `Request.model` before the first slash."
    )
    budgets: dict[str, Decimal] = Field(
        default_factory=dict, description="Caps in USD by scope name; 0 admits nothing."
    )
    time_zone: str = Field(
        default="UTC", description="Whose midnight ends the budget windows of `day` and `month`, e.g. `Europe/Berlin`."
    )
    require_budget: bool = Field(default=False, description="Refuse calls none of whose scopes has a cap.")
    limits: dict[str, LimitSettings] = Field(default_factory=dict, description="Rate limits by model.")
    cache: CacheSettings = Field(default_factory=CacheSettings, description="The exact cache of answers.")
    prices: dict[str, ModelPrice] = Field(
        default_factory=dict, description="USD per million tokens by model; wins over the packaged table."
    )
    retry: RetrySettings = Field(default_factory=RetrySettings, description="Attempts at one model.")
    breaker: BreakerSettings = Field(default_factory=BreakerSettings, description="Circuit breaker of each model.")
    fallback: FallbackSettings = Field(default_factory=FallbackSettings, description="Other models, canned answers.")
    default_deadline_s: float = Field(default=60.0, gt=0, description="Seconds a call may take where it does not say.")
    batch_deadline_s: float = Field(default=86_400.0, gt=0, description="The same for calls of purpose `batch`.")
    max_wait_s: float = Field(
        default=10.0, ge=0, description="Longest wait for the rate limiter (batches: the deadline)."
    )
    rate_limit_pause_s: float = Field(
        default=1.0, gt=0, le=60, description="Pause after a 429 that names none, in seconds."
    )
    lease_s: float = Field(
        default=15.0,
        ge=1,
        le=600,
        description="Silence after which a process counts as dead, in seconds; it is renewed three times in between, "
        "which a busy process cannot keep up below 1.",
    )
    flush_interval_s: float = Field(default=1.0, gt=0, le=60, description="Seconds between two writes to the ledger.")

    @field_validator("endpoints")
    @classmethod
    def _names_that_models_can_begin_with(cls, endpoints: dict[str, EndpointSettings]) -> dict[str, EndpointSettings]:
        for name in endpoints:
            if not re.fullmatch(ENDPOINT_NAME, name):
                raise wrong_setting(
                    name, "models cannot begin with this name", "use lower-case letters, digits, - and _."
                )
        return endpoints

    @field_validator("budgets")
    @classmethod
    def _sound_budgets(cls, budgets: dict[str, Decimal]) -> dict[str, Decimal]:
        for scope, cap in budgets.items():
            checked(scope, check_cap, cap)
            checked(scope, check_scope_name, scope)
        return budgets

    @field_validator("time_zone")
    @classmethod
    def _known_time_zone(cls, name: str) -> str:
        checked("", check_time_zone, name)
        return name

    @field_validator("fallback")
    @classmethod
    def _no_model_falls_back_on_itself(cls, fallback: FallbackSettings) -> FallbackSettings:
        for model, others in fallback.models.items():
            if model in others or len(set(others)) != len(others):
                raise wrong_setting(
                    f"models.{model}", "a model cannot stand in for itself", "name other models, each once."
                )
        return fallback

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Settings from plain values.

        Raises:
            ConfigurationError: names the first field that is wrong, and the mend.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise as_configuration_error(error, cls) from None

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the budget windows."""
        return check_time_zone(self.time_zone)

    def store_config(self) -> StoreConfig:
        """The guards' part, as the state stores take it (caps in nano-USD)."""
        return StoreConfig(
            caps_nano_usd={scope: usd_to_nano(cap) for scope, cap in self.budgets.items()},
            limits={
                model: ModelLimits(limit.requests_per_minute, limit.tokens_per_minute)
                for model, limit in self.limits.items()
            },
            breaker=BreakerPolicy(**self.breaker.model_dump()),
            cache_max_entries=self.cache.max_entries,
            lease_s=self.lease_s,
        )
