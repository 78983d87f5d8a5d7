"""Giving a new or emptied state store its memory of money back from the ledger."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from domain.errors import StateUnavailableError
from resources.llm.ledger_database import LedgerDatabase, ScopeTotals
from resources.llm.state.protocol import Intent, ScopeState, StateStore

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Restoration:
    """Whether the store remembers what the ledger knows. While it does not, nothing may be admitted: caps would be
    measured against spend that is not there yet, and what is admitted meanwhile would keep it from being restored.
    """

    complete: bool = True

    def require_complete(self) -> None:
        """Refuse while spend is being restored.

        Raises:
            StateUnavailableError: it is.
        """
        if not self.complete:
            raise StateUnavailableError(
                "The spend of an emptied state store is being rebuilt from the ledger.",
                field="state",
                mend="Ask again in a moment; if this lasts, check the `ledger` database.",
            )


async def open_restored(
    restoration: Restoration, open_store: Callable[[], Awaitable[None]], restore: Callable[[], Awaitable[object]]
) -> None:
    """Open the store and restore its spend; nothing is admitted in between, nor after a restoration that failed."""
    before, restoration.complete = restoration.complete, False
    try:
        await open_store()
    except BaseException:
        restoration.complete = before
        raise
    await restore()
    restoration.complete = True


async def restore_spend(store: StateStore, ledger: LedgerDatabase, configured_caps: Mapping[str, int]) -> bool:
    """If `store` remembers no money, rebuild its totals from `ledger`, before anything is admitted.

    What providers' batch jobs hold comes back in the same step. Caps set by hand come back too, where they are lower
    than the settings' or the settings name none. Processes that find the store empty at once take turns, so none undoes
    what another has begun to spend.

    Raises:
        DatabaseUnavailableError: the ledger cannot be read, so nobody can say what is left to spend.
        StateUnavailableError: the store cannot be reached.
    """
    if not _is_fresh(await store.scopes()):
        return False
    loop = asyncio.get_running_loop()
    rebuilt: list[ScopeTotals] = []

    async def rebuild_if_fresh(totals: ScopeTotals, holds: Sequence[Intent]) -> None:
        if (totals or holds) and _is_fresh(await store.scopes()):
            await store.rebuild(totals, holds)
            rebuilt.append(totals)

    def apply(totals: ScopeTotals, holds: Sequence[Intent] = ()) -> None:
        asyncio.run_coroutine_threadsafe(rebuild_if_fresh(totals, holds), loop).result()

    # Before the spend: a store that has that passes for restored, also where the process that restored it died.
    for scope, cap in (await asyncio.to_thread(ledger.caps)).items():
        if scope not in configured_caps or cap < configured_caps[scope]:
            await store.set_cap(scope, cap)
    await asyncio.to_thread(ledger.rebuilding, apply)
    if rebuilt:
        _log.warning(
            "the state store was empty: the spend of %d budget windows was rebuilt from the ledger", len(rebuilt[0])
        )
    return bool(rebuilt)


def _is_fresh(scopes: list[ScopeState]) -> bool:
    return not any(scope.settled_nano_usd or scope.ambiguous_nano_usd or scope.reserved_nano_usd for scope in scopes)
