"""A run over the execution core itself, with the built-in offline model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from dspy_runtime.scripted import RUN_ID, MemoryJournal, run, ticket_prompt

from domain.errors import UnansweredError
from domain.optimization import RandomSearchSpec
from domain.pricing import nano_to_usd
from domain.prompt import PromptVersion
from resources.database import schema
from resources.database.session import open_database
from resources.llm import CoreSettings, SyncClient, open_client_sync

SPEC = RandomSearchSpec(candidates=4, max_bootstrapped=2, max_labeled=6)
RUN_SCOPE = f"run:{RUN_ID}"


def offline_prompt() -> PromptVersion:
    return ticket_prompt().model_copy(update={"model": "offline/nearest"})


@contextmanager
def core(folder: Path) -> Iterator[SyncClient]:
    """A core with a ledger, guards and cache of its own."""
    folder.mkdir()
    url = f"sqlite:///{folder / 'promptory.db'}"
    database = open_database(url)
    schema.upgrade(database)
    database.dispose()
    with open_client_sync(CoreSettings(ledger=url, state=f"sqlite:///{folder / 'state.db'}")) as client:
        yield client


def spent_usd(client: SyncClient) -> Decimal:
    return next((nano_to_usd(one.settled_nano_usd) for one in client.budgets() if one.scope == RUN_SCOPE), Decimal(0))


def test_the_cap_of_the_run_stops_it_with_the_best_so_far(tmp_path: Path) -> None:
    with core(tmp_path / "whole") as client:
        whole = run(SPEC, client.complete, prompt=offline_prompt())
        price = spent_usd(client)
    assert price > 0
    assert whole.best_dev_score is not None
    assert whole.baseline_dev_score is not None
    assert whole.best_dev_score > whole.baseline_dev_score

    cap = price / 2
    with core(tmp_path / "capped") as client:
        client.set_cap(RUN_SCOPE, cap)
        # One call costs far less than a fiftieth of the cap.
        cut = run(SPEC, client.complete, prompt=offline_prompt(), budget_left=lambda: spent_usd(client) < cap * 49 / 50)
        assert spent_usd(client) <= cap
    assert cut.stop_reason == "run_budget"
    assert 0 < len(cut.candidates) < len(whole.candidates)
    assert [one.prompt.id for one in cut.candidates] == [
        one.prompt.id for one in whole.candidates[: len(cut.candidates)]
    ]


def test_the_cap_of_another_scope_pauses_it(tmp_path: Path) -> None:
    journal = MemoryJournal()
    with core(tmp_path / "core") as client:
        client.set_cap("task:tickets", Decimal("0.0001"))
        with pytest.raises(UnansweredError) as caught:
            run(SPEC, client.complete, journal, prompt=offline_prompt())
        assert caught.value.reason == "budget_exhausted"
        client.set_cap("task:tickets", None)
        resumed = run(SPEC, client.complete, journal, prompt=offline_prompt())
    with core(tmp_path / "other") as client:
        assert resumed.best.id == run(SPEC, client.complete, prompt=offline_prompt()).best.id
