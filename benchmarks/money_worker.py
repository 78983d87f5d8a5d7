"""One process of the money harness: many tasks spend a shared budget until it is used up, or the process is killed."""

from __future__ import annotations

import asyncio
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.kill_points import Countdown, arm
from benchmarks.meter import PRICE

MODEL = "openai/m"
MAX_TOKENS = 12
# One call in so many is given up by its caller before most answers come.
HASTY = 50
HASTY_S = 0.03
_LOOK_S = 0.1
_TRY_AGAIN_S = 0.1


@dataclass(frozen=True)
class Plan:
    """What one process does.

    Attributes:
        folder: holds the ledger, where no other is named, and in the end a file `finish`: then a refusal ends a task.
        state: URL of the state store.
        database: URL of a ledger elsewhere.
        name: first part of its rows' names; no other process has it.
        budgets: USD by scope name, charged together by every call.
        calls: how many each task makes at most.
        kill_point: where the process kills itself, one of `kill_points.POINTS`; empty leaves that to others.
        kill_count: at which of its writes there.
        client: `core` or `litellm`.
    """

    folder: str
    state: str
    base_url: str
    name: str
    tasks: int
    budgets: dict[str, str]
    lease_s: float = 15.0
    calls: int = 1_000_000_000
    kill_point: str = ""
    kill_count: int = 0
    client: str = "core"
    database: str = ""

    @property
    def ledger(self) -> str:
        """URL of the ledger."""
        return self.database or f"sqlite:///{Path(self.folder) / 'ledger.db'}"

    @property
    def mark(self) -> Path:
        """The file that says that the process killed itself."""
        return Path(self.folder) / f"{self.name}.killed"

    @property
    def log(self) -> Path:
        """What the process says."""
        return Path(self.folder) / f"{self.name}.log"


def core_settings(plan: Plan) -> Any:
    """The settings all processes share."""
    from resources.llm import CoreSettings

    return CoreSettings.parse(
        {
            "state": plan.state,
            "ledger": plan.ledger,
            "endpoints": {"openai": {"base_url": plan.base_url, "api_key": "key", "max_connections": 10_000}},
            "prices": {MODEL: PRICE},
            "budgets": plan.budgets,
            "breaker": {"open_s": 0.2, "successes_to_close": 1},
            "retry": {"first_backoff_s": 0.02, "max_backoff_s": 0.1},
            "flush_interval_s": 0.2,
            "lease_s": plan.lease_s,
        }
    )


async def spend(plan: Plan) -> None:
    """Run the tasks over the core until the budget is used up and the file `finish` is there."""
    from domain.errors import ProviderError, StateUnavailableError, UnansweredError
    from resources.llm import CallContext, Message, Request, open_client

    finish = asyncio.Event()
    rng = random.Random(plan.name)

    async def task(number: int, llm: Any) -> None:
        for count in range(plan.calls):
            row = f"{plan.name}.{number}.{count}"
            context = CallContext(
                "batch",
                task="spend",
                row_id=row,
                scopes=tuple(plan.budgets),
                allow_fallback=False,
                deadline_s=HASTY_S if rng.randrange(HASTY) == 0 else None,
            )
            try:
                await llm.complete(Request(MODEL, (Message("user", f"{row} what do they want"),), MAX_TOKENS), context)
            except UnansweredError as error:
                if error.reason == "budget_exhausted" and finish.is_set():
                    return
                await asyncio.sleep(_TRY_AGAIN_S)
            except (ProviderError, StateUnavailableError):
                await asyncio.sleep(_TRY_AGAIN_S)

    async with open_client(core_settings(plan)) as llm:
        watching = asyncio.create_task(_watch(Path(plan.folder), finish))
        await asyncio.gather(*(task(number, llm) for number in range(plan.tasks)))
        watching.cancel()


async def spend_with_litellm(plan: Plan) -> None:
    """The same with LiteLLM's Router and its provider budget, shared over Redis where the state store is one."""
    import litellm

    litellm.suppress_debug_info = True
    cap = min(float(usd) for usd in plan.budgets.values())
    router = litellm.Router(  # pyright: ignore[reportPrivateImportUsage] - how its documentation imports it
        model_list=[
            {
                "model_name": "m",
                "litellm_params": {
                    "model": MODEL,
                    "api_base": plan.base_url,
                    "api_key": "key",
                    "input_cost_per_token": float(PRICE["input_per_million"]) / 1e6,
                    "output_cost_per_token": float(PRICE["output_per_million"]) / 1e6,
                },
            }
        ],
        num_retries=2,
        provider_budget_config={"openai": litellm.types.utils.BudgetConfig(max_budget=cap, budget_duration="1d")},
        **_shared_over(plan.state),
    )
    finish = asyncio.Event()
    watching = asyncio.create_task(_watch(Path(plan.folder), finish))

    async def task(number: int) -> None:
        for count in range(plan.calls):
            text = f"{plan.name}.{number}.{count} what do they want"
            try:
                await router.acompletion(
                    model="m", messages=[{"role": "user", "content": text}], max_tokens=MAX_TOKENS, temperature=0.0
                )
            except ValueError:  # how it refuses: "No deployments available … over budget"
                if finish.is_set():
                    return
                await asyncio.sleep(_TRY_AGAIN_S)
            except Exception:  # noqa: BLE001 - any of its many errors; the next call is another try
                await asyncio.sleep(_TRY_AGAIN_S)
                if finish.is_set():
                    return

    await asyncio.gather(*(task(number) for number in range(plan.tasks)))
    watching.cancel()


def _shared_over(state: str) -> dict[str, Any]:
    server = urlsplit(state)
    if server.scheme != "redis":
        return {}
    return {"redis_host": server.hostname, "redis_port": server.port}


async def _watch(folder: Path, finish: asyncio.Event) -> None:
    """Tell of the file `finish`; spend no more once nobody watches any longer."""
    harness = os.getppid()
    while not (folder / "finish").exists():
        if os.getppid() != harness:
            os._exit(1)
        await asyncio.sleep(_LOOK_S)
    finish.set()


def run(plan: Plan) -> None:
    """Do what the plan says, in this process."""
    if plan.kill_point:
        arm(Countdown(plan.kill_point, plan.kill_count, plan.mark), plan.state, plan.ledger)
    asyncio.run(spend(plan) if plan.client == "core" else spend_with_litellm(plan))
