"""The values that cross the execution core: requests, contexts, completions, provider answers."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal, Protocol, runtime_checkable

from domain.frozen import frozen_value
from domain.message import Message
from domain.pricing import Usage

Priority = Literal["normal", "high"]
CacheUse = Literal["on", "read", "off"]
Status = Literal["ok", "fallback"]
FallbackReason = Literal["circuit_open", "rate_limited", "budget_exhausted", "provider_error", "deadline"]
FinishReason = Literal["stop", "length", "refusal", "other"]


@frozen_value()
class Request:
    """Everything that can change a model's answer, and nothing else.

    Attributes:
        model: `provider/name`, e.g. `openai/gpt-4o-mini`.
        messages: in order.
        max_output_tokens: upper bound of the answer's length; part of the worst-case reserve.
        temperature: 0 asks for the most likely answer (and allows caching).
        top_p: nucleus mass; None leaves the provider's default.
        stop: sequences that end the answer.
        seed: passed on where the provider knows seeds.
        response_schema: a JSON schema the answer must meet, where the provider can enforce it.
        sample: the n-th draw of the same request; None means "a fresh draw" above temperature 0.
        extra: further provider parameters, JSON values only.
    """

    model: str
    messages: tuple[Message, ...]
    max_output_tokens: int = 512
    temperature: float = 0.0
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    response_schema: dict[str, Any] | None = None
    sample: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)


@frozen_value()
class CallContext:
    """Who asks, for what, at whose cost: what lineage and budgets need. Never changes the answer.

    Attributes:
        purpose: `optimize`, `evaluate`, `batch`, `serve`, `call`, …
        scopes: budget scopes charged together, e.g. `("day", "task:support_triage")`.
        prompt_family: chooses the canned answer, where one is configured.
        allow_fallback: False (optimizers) raises `UnansweredError` instead of falling back.
        deadline_s: seconds from the start of the call; None takes the settings' default.
        cache: `read` takes what the response cache holds and stores nothing there, for calls so many that they would
            drive out everybody's answers; identical ones of a process at once still make one call. `off` asks the
            provider every time.
    """

    purpose: str = "call"
    task: str | None = None
    scopes: tuple[str, ...] = ()
    prompt_version_id: str | None = None
    step: str | None = None
    dataset_version_id: str | None = None
    row_id: str | None = None
    run_id: str | None = None
    batch_id: str | None = None
    experiment_id: str | None = None
    unit_id: str | None = None
    prompt_family: str | None = None
    priority: Priority = "normal"
    deadline_s: float | None = None
    allow_fallback: bool = True
    cache: CacheUse = "on"


@frozen_value()
class Completion:
    """The answer to one call.

    Attributes:
        status: `ok`, or `fallback` when no configured model answered.
        reason: why it fell back; None when `ok`.
        cost_nano_usd: what this call was charged; 0 for a cache hit.
        origin_call_id: for a cached answer, the call that paid for it; else None.
        origin_cost_nano_usd: what the answer cost when it was made (equals `cost_nano_usd` unless cached).
        origin_latency_s: how long the provider took when it was made.
        attempts: attempts this call made; 0 for a cache hit.
        latency_s: seconds from call to answer, waits included; storing the answer in the cache comes after it.
        model: the model that answered.
    """

    text: str
    status: Status
    call_id: str
    model: str
    usage: Usage
    cost_nano_usd: int
    latency_s: float
    attempts: int
    reason: FallbackReason | None = None
    cached: bool = False
    origin_call_id: str | None = None
    origin_cost_nano_usd: int = 0
    origin_latency_s: float = 0.0
    finish_reason: FinishReason = "stop"


@frozen_value()
class ProviderAnswer:
    """What one attempt brought back.

    Attributes:
        usage: the provider's own count.
        usage_estimated: the provider counted nothing, so `usage` is the request's bound: what it billed is unknown.
        pause_s: seconds in which the provider takes no further request of this model, as it says; 0: it says nothing.
    """

    text: str
    usage: Usage
    finish_reason: FinishReason = "stop"
    provider_request_id: str | None = None
    usage_estimated: bool = False
    pause_s: float = 0.0


@runtime_checkable
class Provider(Protocol):
    """One way to reach models. Holds no guard, no cache and no money.

    A class with `keeps_time = True` ends every `send` within its `timeout_s` by itself; others are watched and cut off.
    """

    def input_token_bound(self, request: Request) -> int:
        """Input tokens the provider may bill for `request`; never fewer than it will."""
        ...

    async def send(self, request: Request, timeout_s: float) -> ProviderAnswer:
        """Make one attempt.

        Raises:
            ProviderError: with the fault's class; `never_sent` where no byte left.
            ConfigurationError, InputError: settings or request are not usable. Only before a byte has left: the attempt
                is taken as free.
        """
        ...

    async def check(self) -> None:
        """Reach the endpoint without generating anything.

        Raises:
            ProviderError: it cannot be reached or refuses the key.
        """
        ...

    async def close(self) -> None:
        """Release connections. Safe to call twice."""
        ...
