"""Answers requests of units until it is killed or done: `answer_worker.py <state> <database> <base_url> <requests>`."""

from __future__ import annotations

import asyncio
import sys

from resources.database.session import open_database
from resources.experiments.live import LiveExperiments
from resources.llm import CoreSettings, open_client

CALLERS = 4


def settings(state: str, database: str, base_url: str) -> CoreSettings:
    return CoreSettings.parse(
        {
            "state": state,
            "ledger": database,
            "endpoints": {"openai": {"base_url": base_url, "api_key": "test-key"}},
            "prices": {"openai/scripted": {"input_per_million": "0.15", "output_per_million": "0.60"}},
            "budgets": {"day": "5", "experiment:wording": "2"},
            "cache": {"enabled": False},
            "flush_interval_s": 0.05,
        }
    )


async def main(state: str, database_url: str, base_url: str, requests: int) -> None:
    database = open_database(database_url)
    async with open_client(settings(state, database_url, base_url)) as llm:
        live = LiveExperiments(database, llm)
        waiting = iter(range(requests))

        async def caller() -> None:
            for number in waiting:
                unit = f"user-{number // 2}"
                await live.answer("wording", unit, {"text": f"message {number}"}, request_id=f"r{number}")

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    database.dispose()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:4], int(sys.argv[4])))
