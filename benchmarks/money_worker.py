"""One process of the money harness: many tasks spend a shared budget until it is used up, or the process is killed.

python -m benchmarks.money_worker '<JSON of Plan>'
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.provider import PRICE

MODEL = "openai/m"
MAX_TOKENS = 12
KILL_POINTS = ("state:before", "state:inside", "state:after", "ledger:before", "ledger:after")
_LOOK_S = 0.1
_TRY_AGAIN_S = 0.1


@dataclass(frozen=True)
class Plan:
    """What one process does.

    Attributes:
        folder: holds the state file, the ledger, and in the end a file `finish`: then a refusal ends a task.
        name: first part of its rows' names; no other process has it.
        budgets: USD by scope name, charged together by every call.
        kill_point: where the process kills itself, one of `KILL_POINTS`; empty leaves that to others.
        kill_count: at which of its durable writes there.
        client: `core` or `litellm`.
    """

    folder: str
    base_url: str
    name: str
    tasks: int
    budgets: dict[str, str]
    kill_point: str = ""
    kill_count: int = 0
    client: str = "core"

    def json(self) -> str:
        return json.dumps(asdict(self))


def core_settings(folder: Path, base_url: str, budgets: dict[str, str]) -> Any:
    """The settings all processes share."""
    from resources.llm import CoreSettings

    return CoreSettings.parse(
        {
            "state": f"sqlite:///{folder / 'state.db'}",
            "ledger": f"sqlite:///{folder / 'ledger.db'}",
            "endpoints": {"openai": {"base_url": base_url, "api_key": "key", "max_connections": 10_000}},
            "prices": {MODEL: PRICE},
            "budgets": budgets,
            "breaker": {"open_s": 0.2, "successes_to_close": 1},
            "retry": {"first_backoff_s": 0.02, "max_backoff_s": 0.1},
            "flush_interval_s": 0.2,
            "lease_s": 3,
        }
    )


def die() -> None:
    """Be gone at once, as a kill from outside would have it."""
    os.kill(os.getpid(), signal.SIGKILL)


class Countdown:
    """Kills the process at the n-th durable write of a kind."""

    def __init__(self, plan: Plan) -> None:
        self._kind, _, self._moment = plan.kill_point.partition(":")
        self._left = plan.kill_count

    def around(self, kind: str, write: Callable[..., Any]) -> Callable[..., Any]:
        """`write`, deadly when its time has come."""
        if kind != self._kind:
            return write

        def counted(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left == 0 and self._moment == "before":
                die()
            if self._left == 0 and self._moment == "inside":
                arguments = (*arguments[:-1], _deadly(arguments[-1]))
            result = write(*arguments, **named)
            if self._left == 0 and self._moment == "after":
                die()
            return result

        return counted


def _deadly(step: Callable[..., Any]) -> Callable[..., Any]:
    """The step of a transaction, followed by death instead of the commit."""

    def last(connection: Any) -> None:
        step(connection)
        die()

    return last


def arm(plan: Plan) -> None:
    """Put the countdown around what makes state and ledger durable."""
    from resources.llm.ledger_database import LedgerDatabase
    from resources.llm.state.sqlite_file import SqliteFile

    countdown = Countdown(plan)
    SqliteFile._transact = countdown.around("state", SqliteFile._transact)  # noqa: SLF001 - no public seam sees a commit
    LedgerDatabase.write = countdown.around("ledger", LedgerDatabase.write)


async def spend(plan: Plan) -> None:
    """Run the tasks over the core until the budget is used up and the file `finish` is there."""
    from domain.errors import ProviderError, StateUnavailableError, UnansweredError
    from resources.llm import CallContext, Message, Request, open_client

    folder = Path(plan.folder)
    finish = asyncio.Event()

    async def task(number: int, llm: Any) -> None:
        for count in range(1_000_000):
            row = f"{plan.name}.{number}.{count}"
            context = CallContext("batch", task="spend", row_id=row, scopes=tuple(plan.budgets), allow_fallback=False)
            try:
                await llm.complete(Request(MODEL, (Message("user", f"{row} what do they want"),), MAX_TOKENS), context)
            except UnansweredError as error:
                if error.reason == "budget_exhausted" and finish.is_set():
                    return
                await asyncio.sleep(_TRY_AGAIN_S)
            except (ProviderError, StateUnavailableError):
                await asyncio.sleep(_TRY_AGAIN_S)

    async with open_client(core_settings(folder, plan.base_url, plan.budgets)) as llm:
        watching = asyncio.create_task(_watch(folder, finish))
        await asyncio.gather(*(task(number, llm) for number in range(plan.tasks)))
        watching.cancel()


async def spend_with_litellm(plan: Plan) -> None:
    """The same with LiteLLM's Router and its provider budget, which is the process's own without a Redis."""
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
    )
    finish = asyncio.Event()
    watching = asyncio.create_task(_watch(Path(plan.folder), finish))

    async def task(number: int) -> None:
        for count in range(1_000_000):
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


async def _watch(folder: Path, finish: asyncio.Event) -> None:
    while not (folder / "finish").exists():  # noqa: ASYNC110 - another process makes it
        await asyncio.sleep(_LOOK_S)
    finish.set()


def main() -> None:
    """Run the plan in the first argument."""
    plan = Plan(**json.loads(sys.argv[1]))
    if plan.kill_point:
        arm(plan)
    asyncio.run(spend(plan) if plan.client == "core" else spend_with_litellm(plan))


if __name__ == "__main__":
    main()
