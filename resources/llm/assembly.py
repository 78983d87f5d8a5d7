"""Putting the core together: which layer wraps which, and what they share."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from resources.llm.admission import Admission
from resources.llm.attempt import AttemptLayer
from resources.llm.background import Background
from resources.llm.breaker_log import BreakerLog
from resources.llm.budget_watch import BudgetWatch
from resources.llm.cache import CacheLayer
from resources.llm.call import Layer, Timing
from resources.llm.caps import Caps
from resources.llm.endpoint_names import check_model_names
from resources.llm.endpoints import Endpoints
from resources.llm.events import Dispatcher
from resources.llm.fallback import LastResortLayer, ModelsLayer
from resources.llm.heartbeat import Heartbeat
from resources.llm.ledger import Ledger
from resources.llm.ledger_database import LedgerDatabase, open_ledger_database
from resources.llm.prices import price_book
from resources.llm.quotes import Quotes
from resources.llm.restore import Restoration, open_restored, restore_spend
from resources.llm.retry import RetryLayer
from resources.llm.settings import CoreSettings
from resources.llm.settlement import Settler
from resources.llm.state.memory import MemoryStateStore
from resources.llm.state.protocol import StateStore
from resources.llm.state.sqlite import SqliteStateStore
from resources.llm.types import Provider


@dataclass(frozen=True, slots=True)
class Core:
    """The parts of one open execution core; `owner` names this process's use of the state store."""

    settings: CoreSettings
    owner: str
    timing: Timing
    store: StateStore
    database: LedgerDatabase
    dispatcher: Dispatcher
    background: Background
    endpoints: Endpoints
    settler: Settler
    breakers: BreakerLog
    caps: Caps
    ledger: Ledger
    watch: BudgetWatch
    heartbeat: Heartbeat
    restoration: Restoration


async def assemble(
    settings: CoreSettings, store: StateStore, timing: Timing, providers: Mapping[str, Provider] | None
) -> Core:
    """Open the ledger and `store`, make sure both remember the same money, and join the parts. Starts nothing.

    Raises:
        ConfigurationError: a URL, an endpoint or the name of a model is not usable.
        DatabaseUnavailableError: the ledger's database does not answer.
        SchemaVersionError: it is on another schema.
        StateUnavailableError: the state store does not answer.
    """
    check_model_names(settings, providers or ())
    endpoints = Endpoints(settings.endpoints, providers)
    endpoints.make_all()
    owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:12]}"
    database = await asyncio.to_thread(open_ledger_database, settings.ledger)
    config = settings.store_config()

    restoration = Restoration()

    async def restore() -> None:
        await restore_spend(store, database, config.caps_nano_usd)
        await store.reclaim()

    async def open_store() -> None:
        await open_restored(restoration, lambda: store.open(config, owner, timing.clock()), restore)

    try:
        await open_store()
    except BaseException:
        database.dispose()
        await store.close(owner, timing.clock())
        raise
    return _join(settings, owner, timing, store, database, endpoints, restoration, open_store)


def wrap_layers(core: Core) -> Layer:
    """The layers of a call, outermost first: last resort, cache, models, retry, attempt."""
    settings, timing, store = core.settings, core.timing, core.store
    admission = Admission(
        store,
        timing,
        core.background,
        core.settler,
        core.breakers,
        core.restoration,
        max_wait_s=settings.max_wait_s,
        on_refused=core.watch.refused,
    )
    attempt = AttemptLayer(
        core.endpoints,
        Quotes(price_book(settings), core.caps, require_budget=settings.require_budget),
        admission,
        core.settler,
        core.breakers,
        timing,
        owner=core.owner,
        rate_limit_pause_s=settings.rate_limit_pause_s,
        zone=settings.zone,
    )
    models = ModelsLayer(RetryLayer(attempt, settings.retry, timing), settings.fallback.models, timing)
    cache = CacheLayer(models, store, core.endpoints, settings.cache, timing, core.background, owner=core.owner)
    return LastResortLayer(cache, settings.fallback.canned, timing)


def _join(
    settings: CoreSettings,
    owner: str,
    timing: Timing,
    store: StateStore,
    database: LedgerDatabase,
    endpoints: Endpoints,
    restoration: Restoration,
    reopen: Callable[[], Awaitable[None]],
) -> Core:
    dispatcher = Dispatcher()
    background = Background(cancels_cleanly=isinstance(store, MemoryStateStore | SqliteStateStore))
    breakers = BreakerLog(dispatcher, timing)
    settler = Settler(store, timing, background, dispatcher, breakers)
    watch = BudgetWatch(store, dispatcher)
    ledger = Ledger(database, store, dispatcher)
    dispatcher.subscribe(ledger.on_event)
    return Core(
        settings=settings,
        owner=owner,
        timing=timing,
        store=store,
        database=database,
        dispatcher=dispatcher,
        background=background,
        endpoints=endpoints,
        settler=settler,
        breakers=breakers,
        caps=Caps(store, timing),
        ledger=ledger,
        watch=watch,
        heartbeat=Heartbeat(store, timing, dispatcher, settler, ledger, watch, reopen, owner=owner),
        restoration=restoration,
    )
