"""Makes calls against a loopback provider until it is killed: `python kill_worker.py <state> <ledger> <base_url>`."""

from __future__ import annotations

import asyncio
import sys

from resources.llm import CallContext, CoreSettings, Message, Request, open_client


async def main(state: str, ledger: str, base_url: str) -> None:
    settings = CoreSettings.parse(
        {
            "state": state,
            "ledger": ledger,
            "endpoints": {"openai": {"base_url": base_url, "api_key": "test-key"}},
            "prices": {"openai/m": {"input_per_million": "0.15", "output_per_million": "0.60"}},
            "budgets": {"day": "1", "task:t": "1"},
            "flush_interval_s": 0.05,
        }
    )
    async with open_client(settings) as llm:

        async def caller(name: int) -> None:
            for number in range(10_000):
                request = Request("openai/m", (Message("user", f"row {name}-{number}"),), 20, 1.0)
                context = CallContext("batch", task="t", scopes=("day", "task:t"), row_id=f"{name}-{number}")
                await llm.complete(request, context)

        await asyncio.gather(*(caller(name) for name in range(8)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
